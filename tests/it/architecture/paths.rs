//! Finds the paths in a source file (`use` trees and paths in expressions) on its tokens.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path such as `crate::db::Db` found in a file.
pub struct Mention {
    /// Its names, with `self` and `super` resolved to `crate`.
    pub segments: Vec<String>,
    /// Counted from 1.
    pub line: usize,
    /// Whether it stands in code that is compiled for tests only.
    pub in_test: bool,
}

/// What a file consists of, as far as the rules are concerned.
#[derive(Default)]
pub struct File {
    /// Every path, in order.
    pub mentions: Vec<Mention>,
    /// Lines of inline test modules.
    pub test_lines: usize,
}

impl File {
    /// Reads the text of the file that is `module`.
    pub fn read(module: &[String], text: &str) -> Self {
        let tokens: TokenStream = text.parse().expect("a source file that compiles");
        let mut file = File::default();
        let is_test = module.iter().any(|name| name == "tests" || name == "testing");
        file.walk(tokens, &mut module.to_vec(), is_test);
        file
    }

    fn walk(&mut self, tokens: TokenStream, module: &mut Vec<String>, in_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut test_item: Option<usize> = None; // first line of an item under #[cfg(test)]
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let here = in_test || test_item.is_some();
            match token {
                TokenTree::Punct(p) if p.as_char() == '#' && is_cfg_test(tokens.get(at + 1)) => {
                    test_item.get_or_insert(line_of(token));
                    at += 2;
                    continue;
                }
                TokenTree::Punct(p) if p.as_char() == ';' => {
                    test_item = None;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        module.push(name.to_string());
                        self.walk(body.stream(), module, here);
                        module.pop();
                        if let Some(first) = test_item.take() {
                            self.test_lines += body.span_close().end().line + 1 - first;
                        }
                        at += 3;
                        continue;
                    }
                }
                TokenTree::Ident(_) => {
                    at = self.path(&tokens, at, Vec::new(), module, here);
                    continue;
                }
                TokenTree::Group(group) => {
                    self.walk(group.stream(), module, here);
                    if group.delimiter() == Delimiter::Brace {
                        test_item = None;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads a path, or a tree of them as `use` has it, that begins at `at`; returns where it ends.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        mut segments: Vec<String>,
        module: &[String],
        in_test: bool,
    ) -> usize {
        let line = tokens.get(at).map_or(0, line_of);
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) => segments.push(word.to_string()),
                Some(TokenTree::Group(tree)) if tree.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = tree.stream().into_iter().collect();
                    let mut from = 0;
                    while from < inner.len() {
                        from = self.path(&inner, from, segments.clone(), module, in_test);
                        let is_comma =
                            |t: &TokenTree| matches!(t, TokenTree::Punct(p) if p.as_char() == ',');
                        from += inner.iter().skip(from).take_while(|t| !is_comma(t)).count() + 1;
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            let is_colon = |t: Option<&TokenTree>| matches!(t, Some(TokenTree::Punct(p)) if p.as_char() == ':');
            if !(is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1))) {
                break;
            }
            at += 2;
        }
        let segments = absolute(segments, module);
        self.mentions.push(Mention { segments, line, in_test });
        at
    }
}

fn is_cfg_test(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(attribute)) = token else {
        return false;
    };
    let text = attribute.stream().to_string().replace(' ', "");
    text.starts_with("cfg(")
        && !text.contains("not(test)")
        && text.split(['(', ')', ',']).any(|word| word == "test")
}

fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

/// `self::` and `super::` resolved to `crate::`.
fn absolute(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let climbs = segments.iter().take_while(|s| *s == "super" || *s == "self").count();
    if climbs == 0 {
        return segments;
    }
    let up = segments.iter().take(climbs).filter(|s| *s == "super").count();
    let base = module.iter().take(module.len().saturating_sub(up));
    let rest = segments.iter().skip(climbs);
    std::iter::once("crate").map(str::to_owned).chain(base.cloned()).chain(rest.cloned()).collect()
}
