//! Links in answers: what leads to the root of the server behind a proxy is led through the proxy.

/// The attributes of HTML whose values are links.
const ATTRIBUTES: [&str; 15] = [
    "action",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
];
/// The elements whose content is no HTML.
const RAW: [&str; 2] = ["script", "style"];

/// How links to a server are led through a proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links<'a> {
    /// The path of the proxy, without a slash at its end.
    pub(super) prefix: &'a str,
    /// What the server may call itself: by its address, or as the client calls the proxy.
    pub(super) hosts: [&'a str; 2],
}

impl Links<'_> {
    /// The link through the proxy; `None` where it leads elsewhere, or there already.
    pub(super) fn through(&self, link: &str) -> Option<String> {
        let path = match link.split_once("//") {
            Some(("" | "http:" | "https:", rest)) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                self.hosts.contains(&host).then_some(path)?
            }
            _ => link,
        };
        let is_led = path.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (path.starts_with('/') && !is_led).then(|| format!("{}{path}", self.prefix))
    }

    /// The page with its links led through the proxy, and not a byte changed beside them.
    pub(super) fn rewrite(&self, page: &[u8]) -> Vec<u8> {
        let mut written = Vec::with_capacity(page.len());
        let mut rest = page;
        while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
            let (before, tag) = rest.split_at(at);
            written.extend_from_slice(before);
            if let Some(length) = comment(tag) {
                let (comment, after) = tag.split_at(length);
                written.extend_from_slice(comment);
                rest = after;
                continue;
            }
            let (length, opened) = self.tag(tag, &mut written);
            let content = tag.get(length..).unwrap_or_default();
            let (raw, after) = content.split_at(opened.map_or(0, |element| end_of_raw(content, element)));
            written.extend_from_slice(raw);
            rest = after;
        }
        written.extend_from_slice(rest);
        written
    }

    /// Writes a tag, and gives its length and the element it opens whose content is no HTML.
    fn tag(&self, tag: &[u8], written: &mut Vec<u8>) -> (usize, Option<&'static str>) {
        let mut at = 1 + word(tag.get(1..).unwrap_or_default());
        let name = String::from_utf8_lossy(tag.get(1..at).unwrap_or_default()).to_ascii_lowercase();
        written.extend_from_slice(tag.get(..at).unwrap_or_default());
        if name.is_empty() {
            return (at, None);
        }
        while let Some(byte) = tag.get(at) {
            if *byte == b'>' {
                break;
            }
            let attribute = Attribute::at(tag.get(at..).unwrap_or_default());
            attribute.write(self, written);
            at += attribute.length();
        }
        (at, RAW.into_iter().find(|raw| *raw == name))
    }
}

/// What stands at some place in a tag: an attribute, or what is between two.
struct Attribute<'a> {
    /// The name, with what leads to the value.
    name: &'a [u8],
    /// The value without its quotes.
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn at(text: &'a [u8]) -> Self {
        let name = word(text);
        let rest = text.get(name..).unwrap_or_default();
        let gap = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if name == 0 || rest.get(gap) != Some(&b'=') {
            return Self { name: text.get(..name.max(1)).unwrap_or_default(), value: &[] };
        }
        let after = rest.get(gap + 1..).unwrap_or_default();
        let gap_after = after.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let quote = after.get(gap_after).filter(|byte| matches!(byte, b'"' | b'\''));
        let begin = name + gap + 1 + gap_after + usize::from(quote.is_some());
        let value = text.get(begin..).unwrap_or_default();
        let ends = |byte: &u8| match quote {
            Some(quote) => byte == quote,
            None => byte.is_ascii_whitespace() || *byte == b'>',
        };
        let length = value.iter().position(ends).unwrap_or(value.len());
        Self { name: text.get(..begin).unwrap_or_default(), value: value.get(..length).unwrap_or_default() }
    }

    fn length(&self) -> usize {
        self.name.len() + self.value.len()
    }

    fn write(&self, links: &Links<'_>, written: &mut Vec<u8>) {
        written.extend_from_slice(self.name);
        let name = self.name.get(..word(self.name)).unwrap_or_default();
        let is_link = ATTRIBUTES.iter().any(|attribute| name.eq_ignore_ascii_case(attribute.as_bytes()));
        let led = std::str::from_utf8(self.value).ok().filter(|_| is_link).and_then(|link| links.through(link));
        match led {
            Some(led) => written.extend_from_slice(led.as_bytes()),
            None => written.extend_from_slice(self.value),
        }
    }
}

/// How long the name is that the text begins with.
fn word(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'_')).count()
}

/// How long the comment is that the text begins with.
fn comment(text: &[u8]) -> Option<usize> {
    let inside = text.strip_prefix(b"<!--")?;
    let end = inside.windows(3).position(|window| window == b"-->");
    Some(end.map_or(text.len(), |end| end + 7))
}

/// Where the content of an element ends that is no HTML.
fn end_of_raw(text: &[u8], element: &str) -> usize {
    let closes = |at: &usize| {
        let name = text.get(at + 2..).and_then(|rest| rest.get(..element.len()));
        text.get(*at..at + 2) == Some(b"</") && name.is_some_and(|name| name.eq_ignore_ascii_case(element.as_bytes()))
    };
    (0..text.len()).find(closes).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: Links<'_> = Links { prefix: "/p/web/proxy", hosts: ["10.0.0.7:80", "api:6443"] };

    #[test]
    fn links_to_the_server_lead_through_the_proxy() {
        for (link, expect) in [
            ("/a?b=c#d", Some("/p/web/proxy/a?b=c#d")),
            ("/", Some("/p/web/proxy/")),
            ("http://10.0.0.7:80/a/", Some("/p/web/proxy/a/")),
            ("//api:6443/a", Some("/p/web/proxy/a")),
            ("/p/web/proxy/a", None),
            ("/p/web/proxy2", Some("/p/web/proxy/p/web/proxy2")),
            ("a", None),
            ("", None),
            ("https://elsewhere/a", None),
            ("mailto:a//b", None),
        ] {
            assert_eq!(LINKS.through(link).as_deref(), expect, "{link}");
        }
    }

    #[test]
    fn only_links_of_a_page_are_changed() {
        for (page, expect) in [
            ("<a href=\"/x\">/x</a>", "<a href=\"/p/web/proxy/x\">/x</a>"),
            ("<IMG alt=/x SRC = '/x'/>", "<IMG alt=/x SRC = '/p/web/proxy/x'/>"),
            ("<a href=/x>", "<a href=/p/web/proxy/x>"),
            ("<!-- <a href=/x> --><b title=\"/x\">", "<!-- <a href=/x> --><b title=\"/x\">"),
            (
                "<script src=/x>if (a <b) '<a href=\"/x\">'</script><a href=/x>",
                "<script src=/p/web/proxy/x>if (a <b) '<a href=\"/x\">'</script><a href=/p/web/proxy/x>",
            ),
            ("a < b <", "a < b <"),
            ("<a href=\"/x", "<a href=\"/p/web/proxy/x"),
            ("<a href", "<a href"),
            ("<!-- ", "<!-- "),
        ] {
            assert_eq!(String::from_utf8(LINKS.rewrite(page.as_bytes())).unwrap(), expect, "{page}");
        }
        assert_eq!(LINKS.rewrite(b"<a href=\"/\xff\">"), b"<a href=\"/\xff\">");
    }
}
