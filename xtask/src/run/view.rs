//! The page that the user of the lab sees, and the lines for those without a terminal.
//!
//! Pure: from what was seen to text. Refuses to touch the terminal or the lab.

use vrrp_lab::{
    clock::{self, MILLISECOND, SECOND},
    timeline::Span,
};

mod servers;
#[cfg(test)]
mod tests;

use super::{
    screen::{Line, Size, Style},
    stage::{AdvertSeen, Condition, Event, Kind, Link, Node, Sight, VIP, ms},
};

/// One column of the history bars.
const COLUMN: u64 = SECOND / 2;
const KEYS: &str = " 1/2 link  c carrier  k kill -9  s stop  z freeze  r restart  p switch  q quit";
const SERVER_KEYS: &str = " mysqld: m kill -9  f freeze  d full disk  u start      (capital letter: node b)";
const BARE_KEYS: &str = " a capital letter means node b; 1, 2, c and z pressed again undo it";

/// The whole page for a terminal of this size.
pub(crate) fn page(sight: &Sight<'_>, size: Size) -> Vec<Line> {
    let mut page = vec![title(sight, size.width), Line::new(), owner(sight), client(sight)];
    page.extend(sight.database.as_ref().map(|database| servers::writer(database.writes, sight.now_ns)));
    page.push(Line::new());
    page.push(Line::new().with(
        Style::Dim,
        format!(
            " {:<5}{:<11}{:<13}{:<11}{:<10}{:<5}{:>8}   {}",
            "node", "address", "process", "pid", "link", "VIP", "adverts", "last"
        ),
    ));
    page.extend(sight.nodes.iter().map(|node| node_line(node, sight)));
    if let Some(database) = &sight.database {
        page.extend(servers::table(database));
    }
    page.push(Line::new());
    page.extend(bars(sight, size.width));
    page.push(Line::new());

    // Two lists share what is left above the keys; the adverts get at most eight lines, and none where there is little.
    let left = size.height.saturating_sub(page.len() + 3);
    let adverts = if left < 10 { 0 } else { (left / 2 - 1).min(8) };
    let mut lines = left;
    if adverts > 0 {
        lines = left - adverts - 2;
        page.push(Line::new().with(Style::Dim, " adverts at the switch, kernel time (CLOCK_MONOTONIC, s)"));
        let skipped = sight.adverts.len().saturating_sub(adverts);
        page.extend(sight.adverts.iter().skip(skipped).map(advert_line));
        page.extend(std::iter::repeat_n(Line::new(), adverts.saturating_sub(sight.adverts.len())));
        page.push(Line::new());
    }
    page.push(Line::new().with(Style::Dim, " events"));
    let skipped = sight.events.len().saturating_sub(lines);
    page.extend(sight.events.iter().skip(skipped).map(|event| event_line(event, sight.start_ns)));
    page.extend(std::iter::repeat_n(Line::new(), lines.saturating_sub(sight.events.len())));
    page.truncate(size.height.saturating_sub(2));
    page.push(Line::new().with(Style::Bold, KEYS));
    let more = if sight.database.is_some() { SERVER_KEYS } else { BARE_KEYS };
    page.push(Line::new().with(Style::Bold, more));
    page.truncate(size.height);
    page
}

/// An event as one plain line.
pub(crate) fn event_text(event: &Event, start_ns: u64) -> String {
    let mark = match event.kind {
        Kind::Done => "  ",
        Kind::Moved => "->",
        Kind::Trouble => "!!",
    };
    format!("{} {mark} {}", since(event.time_ns, start_ns), event.text)
}

/// The state of things as one plain line.
pub(crate) fn status_text(sight: &Sight<'_>) -> String {
    let holders = sight.timeline.holders();
    let owner = if holders.is_empty() { "nobody".to_owned() } else { holders.join(" AND ") };
    let nodes: Vec<String> = sight
        .nodes
        .iter()
        .map(|node| {
            let gap =
                node.last_advert.as_ref().and_then(|seen| seen.gap_ns).map_or_else(|| "-".to_owned(), ms);
            format!(
                "{} {}, link {}, {} adverts (gap {gap})",
                node.name,
                condition(node).1,
                link(node).1,
                node.adverts
            )
        })
        .collect();
    format!(
        "{}    owner: {owner}; {}; {}{}",
        since(sight.now_ns, sight.start_ns),
        nodes.join("; "),
        reach(sight).1,
        sight.database.as_ref().map_or_else(String::new, |database| format!(
            "; {}",
            servers::status_text(database, sight.now_ns)
        ))
    )
}

fn title(sight: &Sight<'_>, width: usize) -> Line {
    let left = format!(" vrrp lab   VIP {VIP}   two nodes and a client on one bridge");
    let seconds = sight.now_ns.saturating_sub(sight.start_ns) / SECOND;
    let right = format!("{:02}:{:02}:{:02} ", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let gap = width.saturating_sub(left.chars().count() + right.len());
    Line::new().with(Style::Bold, left).with(Style::Dim, format!("{}{right}", " ".repeat(gap)))
}

fn owner(sight: &Sight<'_>) -> Line {
    let line = Line::new().with(Style::Plain, " owner    ");
    let since_ns = sight.timeline.spans().last().map_or(sight.start_ns, |span| span.from_ns);
    let held = seconds(sight.now_ns.saturating_sub(since_ns));
    match sight.timeline.holders() {
        [] => line.with(Style::Warning, "nobody").with(Style::Dim, format!("   for {held}")),
        [one] => line.with(Style::Good, format!("[ {one} ]")).with(Style::Dim, format!("   for {held}")),
        more if sight.nodes.iter().any(|node| node.link != Link::Up) => line
            .with(Style::Warning, format!("[ {} ]", more.join(" and ")))
            .with(Style::Dim, "   one is cut off"),
        more => line.with(Style::Bad, format!("[ {} ]  TWO OWNERS", more.join(" and "))),
    }
}

fn client(sight: &Sight<'_>) -> Line {
    let (style, text) = reach(sight);
    let outage =
        sight.reach.last_outage_ns.map(|gap| format!("   last outage {}", ms(gap))).unwrap_or_default();
    Line::new().with(Style::Plain, " client   ").with(style, text).with(Style::Dim, outage)
}

fn reach(sight: &Sight<'_>) -> (Style, String) {
    match (sight.reach.out_for(sight.now_ns), sight.reach.answered_by) {
        (Some(gap), _) => (Style::Bad, format!("VIP does not answer, for {}", seconds(gap))),
        (None, Some(name)) => (Style::Good, format!("VIP answers ARP, from {name}")),
        (None, None) => (Style::Warning, "VIP has not answered yet".to_owned()),
    }
}

fn condition(node: &Node) -> (Style, String) {
    match &node.condition {
        Condition::Running => (Style::Good, format!("{} runs", node.program)),
        Condition::Frozen => (Style::Warning, format!("{} frozen", node.program)),
        Condition::Ended(how) => (Style::Bad, format!("ended: {how}")),
    }
}

fn link(node: &Node) -> (Style, &'static str) {
    match node.link {
        Link::Up => (Style::Good, "up"),
        Link::Cut => (Style::Bad, "cut"),
        Link::Unplugged => (Style::Bad, "unplugged"),
    }
}

fn node_line(node: &Node, sight: &Sight<'_>) -> Line {
    let (process_style, process) = condition(node);
    let (link_style, link) = link(node);
    let holds = sight.timeline.holders().iter().any(|holder| holder == node.name);
    let (vip_style, vip) = if holds { (Style::Good, "yes") } else { (Style::Dim, "no") };
    let last = node.last_advert.as_ref().map_or_else(
        || "none yet".to_owned(),
        |seen| {
            let age = sight.now_ns.saturating_sub(seen.time_ns);
            format!("priority {}, {} ago", seen.advert.priority, seconds(age))
        },
    );
    Line::new()
        .with(Style::Bold, format!(" {:<5}", node.name))
        .with(Style::Plain, format!("{:<11}", node.address))
        .with(process_style, format!("{process:<16} "))
        .with(Style::Dim, format!("{:<7}", node.pid))
        .with(link_style, format!("{link:<10}"))
        .with(vip_style, format!("{vip:<5}"))
        .with(Style::Plain, format!("{:>8}   ", node.adverts))
        .with(Style::Plain, last)
}

/// Who held the VIP over the last stretch, one row a node, now at the right.
fn bars(sight: &Sight<'_>, width: usize) -> Vec<Line> {
    let columns = width.saturating_sub(8).min(120);
    let mut rows: Vec<Line> = Vec::new();
    for node in sight.nodes {
        let mut row = Line::new().with(Style::Plain, format!(" {:<5}", node.name));
        for column in (0..columns as u64).rev() {
            let until = sight.now_ns.saturating_sub(column * COLUMN);
            let from = until.saturating_sub(COLUMN);
            let (style, cell) = cell(sight.timeline.spans(), node.name, from, until, sight.start_ns);
            row = row.with(style, cell);
        }
        rows.push(row);
    }
    let scale = format!(
        "       the last {} s, {} ms a column",
        columns as u64 * COLUMN / SECOND,
        COLUMN / MILLISECOND
    );
    rows.push(Line::new().with(Style::Dim, scale));
    rows
}

fn cell(spans: &[Span], name: &str, from: u64, until: u64, start: u64) -> (Style, &'static str) {
    if until <= start {
        return (Style::Dim, " ");
    }
    let mut inside = spans.iter().filter(|span| span.from_ns < until && span.until_ns > from);
    let has = |span: &Span| span.hosts.iter().any(|host| host == name);
    if inside.clone().any(|span| span.hosts.len() > 1 && has(span)) {
        return (Style::Bad, "!");
    }
    let total = inside.clone().count();
    match inside.clone().filter(|span| has(span)).count() {
        0 if inside.any(|span| span.hosts.is_empty()) => (Style::Warning, "·"),
        0 => (Style::Dim, "·"),
        held if held == total => (Style::Good, "█"),
        _ => (Style::Good, "▌"),
    }
}

fn advert_line(seen: &AdvertSeen) -> Line {
    let advert = &seen.advert;
    let (whole, part) = (seen.time_ns / SECOND, seen.time_ns % SECOND / 1000);
    let priority_style = if advert.is_release() { Style::Warning } else { Style::Plain };
    let gap = seen.gap_ns.map_or_else(
        || "first".to_owned(),
        |gap| format!("+{}.{:03} ms", gap / MILLISECOND, gap / 1000 % 1000),
    );
    let gap_style = match seen.gap_ns {
        Some(gap) if gap > clock::nanos(advert.interval()) * 3 / 2 => Style::Warning,
        Some(_) | None => Style::Dim,
    };
    Line::new()
        .with(Style::Plain, format!("  {whole:>8}.{part:06}  "))
        .with(Style::Bold, format!("{:<3}", seen.node))
        .with(Style::Plain, format!("v{} VRID {:<4}", advert.version, advert.vrid))
        .with(priority_style, format!("priority {:<4}", advert.priority))
        .with(Style::Plain, format!("every {:<8}", format!("{:?}", advert.interval())))
        .with(gap_style, format!("{gap:>14}"))
}

fn event_line(event: &Event, start_ns: u64) -> Line {
    let style = match event.kind {
        Kind::Done => Style::Plain,
        Kind::Moved => Style::Good,
        Kind::Trouble => Style::Bad,
    };
    Line::new()
        .with(Style::Dim, format!(" {}  ", since(event.time_ns, start_ns)))
        .with(style, event.text.clone())
}

/// Seconds since the lab began, to the millisecond.
fn since(time_ns: u64, start_ns: u64) -> String {
    let thousandths = time_ns.saturating_sub(start_ns) / MILLISECOND;
    format!("{:>5}.{:03}", thousandths / 1000, thousandths % 1000)
}

fn seconds(nanoseconds: u64) -> String {
    let tenths = nanoseconds / (SECOND / 10);
    format!("{}.{} s", tenths / 10, tenths % 10)
}
