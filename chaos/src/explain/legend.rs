//! The legend below a picture.

use super::picture::{head, star};
use super::svg::{Anchor, Area, Svg, width_of};

const SIZE: f64 = 11.0;
const LINE: f64 = 21.0;

type Sample = fn(&mut Svg, f64, f64);

/// The texts and their samples.
const SAMPLES: [(&str, Sample); 12] = [
    ("message: sync", |svg, x, y| arrow(svg, "sync", x, y)),
    ("message: handshake", |svg, x, y| arrow(svg, "handshake", x, y)),
    ("message on a settled link (keep-alive, or first about new entries)", |svg, x, y| arrow(svg, "settled", x, y)),
    ("message that never arrived", |svg, x, y| arrow(svg, "lost", x, y)),
    ("edit; with a bar: several", |svg, x, y| svg.dot("edit", (x + 13.0, y), 4.0)),
    ("commit is durable", |svg, x, y| {
        svg.rect("commit", Area { x: x + 10.5, y: y - 2.5, width: 5.0, height: 5.0 });
    }),
    ("handshake done", |svg, x, y| svg.dot("up", (x + 13.0, y), 3.0)),
    ("link gone, or something failed", |svg, x, y| {
        svg.line("lost arrow", (x + 9.0, y - 4.0), (x + 17.0, y + 4.0));
        svg.line("lost arrow", (x + 9.0, y + 4.0), (x + 17.0, y - 4.0));
    }),
    ("fault", |svg, x, y| svg.rect("fault", Area { x, y: y - 6.0, width: 26.0, height: 12.0 })),
    ("process does not run", |svg, x, y| {
        svg.rect("down", Area { x: x + 8.0, y: y - 7.0, width: 10.0, height: 14.0 });
    }),
    ("starts", |svg, x, y| {
        svg.shape("up", &[(x + 8.0, y - 4.0), (x + 18.0, y - 4.0), (x + 13.0, y + 5.0)]);
    }),
    ("rule violated", |svg, x, y| svg.shape("star", &star((x + 13.0, y), 8.0))),
];

/// Draws the legend from `top` downwards; returns its end.
pub(crate) fn draw(svg: &mut Svg, top: f64, width: f64, margin: f64) -> f64 {
    svg.line("axis", (margin, top), (width - margin, top));
    let (mut x, mut y) = (margin, top + LINE);
    for (text, sample) in SAMPLES {
        let needed = 34.0 + width_of(text, SIZE) + 18.0;
        if x + needed > width - margin && x > margin {
            (x, y) = (margin, y + LINE);
        }
        sample(svg, x, y);
        svg.text("dim", (x + 34.0, y + 4.0), SIZE, Anchor::Start, text);
        x += needed;
    }
    let text = "Time goes down. Distances are not to scale: where nothing happens the axis is short; times stand on the left. \
                “5× 1.2 kB” is five messages of 1.2 kB together.";
    for line in super::svg::wrapped(text, width - 2.0 * margin, SIZE) {
        y += LINE;
        svg.text("dim", (margin, y), SIZE, Anchor::Start, &line);
    }
    y + 4.0
}

fn arrow(svg: &mut Svg, class: &str, x: f64, y: f64) {
    svg.line(&format!("{class} arrow"), (x, y), (x + 26.0, y));
    svg.shape(class, &head((x, y), (x + 26.0, y)));
}
