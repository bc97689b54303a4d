//! A small HTML writer. The styles are part of the file, which loads nothing and runs no script.

use std::fmt::Write as _;

use crate::explain::escaped;

const STYLE: &str = "\
:root{color-scheme:light}*{box-sizing:border-box}\
body{margin:0 auto;max-width:76rem;padding:1rem;background:#fff;color:#1b1f24;\
font:16px/1.5 system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif}\
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:1px solid #d0d7de}\
h3{font-size:1rem;margin:0 0 .5rem}p{margin:.4rem 0;overflow-wrap:anywhere}\
.verdict{display:inline-block;padding:.4rem .8rem;border-radius:.4rem;font-weight:600}\
.held{background:#dafbe1;color:#116329}.red{background:#ffebe9;color:#a40e26}\
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.5rem;margin:1rem 0}\
.figures div{border:1px solid #d0d7de;border-radius:.4rem;padding:.5rem .75rem}\
.figures b{display:block;font-size:1.15rem}.figures span{color:#57606a;font-size:.85rem}\
section{border:1px solid #d0d7de;border-radius:.4rem;padding:.75rem;margin:1rem 0}\
.wide,figure{overflow-x:auto;margin:.5rem 0;max-width:100%}figure svg{display:block}\
table{border-collapse:collapse;font-size:.85rem}th,td{padding:.25rem .75rem .25rem 0;text-align:left;white-space:nowrap}\
th{color:#57606a;font-weight:600;border-bottom:1px solid #d0d7de}td{border-bottom:1px solid #eaeef2}\
pre{background:#f6f8fa;border-radius:.4rem;padding:.6rem;overflow-x:auto;font-size:.8rem;margin:.5rem 0}\
summary{cursor:pointer;padding:.3rem 0}footer{margin-top:2rem;color:#57606a;font-size:.8rem}";

/// A page under construction.
#[derive(Debug)]
pub(crate) struct Html {
    title: String,
    body: String,
}

impl Html {
    pub(crate) fn new(title: &str) -> Self {
        let title = escaped(title);
        let body = format!("<h1>{title}</h1>\n");
        Self { title, body }
    }

    pub(crate) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h2>{}</h2>", escaped(text));
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escaped(text));
    }

    pub(crate) fn verdict(&mut self, held: bool, text: &str) {
        let class = if held { "held" } else { "red" };
        let _ = writeln!(self.body, "<p class=\"verdict {class}\">{}</p>", escaped(text));
    }

    pub(crate) fn figures(&mut self, figures: &[(&str, String)]) {
        self.body.push_str("<div class=\"figures\">");
        for (name, value) in figures {
            let _ = write!(self.body, "<div><b>{}</b><span>{}</span></div>", escaped(value), escaped(name));
        }
        self.body.push_str("</div>\n");
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.body.push_str("<div class=\"wide\"><table><thead><tr>");
        for cell in head {
            let _ = write!(self.body, "<th>{}</th>", escaped(&cell.to_lowercase()));
        }
        self.body.push_str("</tr></thead><tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for cell in row {
                let _ = write!(self.body, "<td>{}</td>", escaped(&cell));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// Writes content that is collapsed at first.
    pub(crate) fn details(&mut self, summary: &str, inside: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, "<details><summary>{}</summary>", escaped(summary));
        inside(self);
        self.body.push_str("</details>\n");
    }

    /// Writes a failure: its caption, the commands for it, and its diagram, an SVG text.
    pub(crate) fn failure(&mut self, title: &str, lines: &[String], commands: &[String], picture: &str, open: bool) {
        let _ = writeln!(self.body, "<section><h3>{}</h3>", escaped(title));
        lines.iter().for_each(|line| self.paragraph(line));
        let _ = writeln!(self.body, "<pre>{}</pre>", escaped_lines(commands));
        let open = if open { " open" } else { "" };
        let _ = writeln!(
            self.body,
            "<details{open}><summary>diagram</summary><figure>{picture}</figure></details></section>"
        );
    }

    pub(crate) fn finish(self, foot: &str) -> String {
        let Self { title, body } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n{body}<footer>{}</footer>\n</body>\n</html>\n",
            escaped(foot)
        )
    }
}

fn escaped_lines(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}
