/** Icons, drawn as lines of the text's colour. They say nothing that the text beside them does not. */

const PATHS = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  collections: "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3Zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  query: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm4.8-1.7L20 20",
  peers: "M6 8.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Zm12 12a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Zm0-12a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8.5 6h7M7.5 8l9 8",
  spaces: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  accounts: "M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-8 10c0-4 3.6-6.5 8-6.5s8 2.5 8 6.5",
  tokens: "M8 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm4-4h9m-3 0v3.5",
  audit: "M6 3h9l4 4v14H6zM9.5 11h6M9.5 15h6",
  log: "M4 5h16M4 10h10M4 15h16M4 20h7",
  backups: "M12 3v11m0 0 4-4m-4 4-4-4M4 17v4h16v-4",
  docs: "M5 4h6a2 2 0 0 1 2 2v14a2 2 0 0 0-2-2H5zM21 4h-6a2 2 0 0 0-2 2v14a2 2 0 0 1 2-2h6z",
  menu: "M4 7h16M4 12h16M4 17h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  out: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of the product. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" class="mark-ground" />
      <ellipse cx="16" cy="16" rx="10.5" ry="4.6" transform="rotate(-35 16 16)" class="mark-ring" />
      <circle cx="16" cy="16" r="3.6" class="mark-dot" />
      <circle cx="24.2" cy="9.2" r="2.3" class="mark-dot" />
    </svg>
  );
}
