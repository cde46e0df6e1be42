use super::*;

fn one(path: &str, text: &str) -> Vec<File> {
    vec![File::made(path, text)]
}

#[test]
fn long_lines_are_counted_in_characters() {
    let fits = "\u{d7}".repeat(100);
    let long = "x".repeat(101);
    assert!(long_lines(&one("a.rs", &fits)).is_empty());
    assert_eq!(long_lines(&one("a.rs", &format!("\n{long}\n")))[0].line, 2);
    assert!(long_lines(&one("a.md", &long)).is_empty());
    let generated = format!("// {}\n{long}\n", concat!("@gen", "erated"));
    assert!(long_lines(&one("a.rs", &generated)).is_empty());
}

#[test]
fn the_ratchet_only_turns_one_way() {
    let mut rules = Rules::default();
    let long = "x\n".repeat(700);
    assert_eq!(long_files(&one("a.rs", &long), &rules).len(), 1);
    rules.long_files.insert("a.rs".to_owned(), 700);
    assert!(long_files(&one("a.rs", &long), &rules).is_empty());
    assert_eq!(long_files(&one("a.rs", &"x\n".repeat(701)), &rules).len(), 1);
    assert_eq!(long_files(&one("a.rs", "x\n"), &rules).len(), 1);
    assert_eq!(long_files(&[], &rules).len(), 1);
}

#[test]
fn unsafe_is_found_in_code_alone() {
    let mut rules = Rules::default();
    let quiet = "// unsafe\n/* unsafe */ fn a() { let s = \"unsafe\"; let r = r#\"unsafe\"#; }\n\
                 #![expect(unsafe_code)]\n";
    assert!(unsafe_outside_rooms(&one("a.rs", quiet), &rules).is_empty());
    let loud = "fn a<'a>(x: &'a u8) {\n    unsafe { x }\n}\n";
    assert_eq!(unsafe_outside_rooms(&one("a.rs", loud), &rules)[0].line, 2);
    rules.unsafe_rooms.push("a.rs".to_owned());
    assert!(unsafe_outside_rooms(&one("a.rs", loud), &rules).is_empty());
    assert_eq!(unsafe_outside_rooms(&one("a.rs", quiet), &rules).len(), 1);
}

#[test]
fn strings_and_comments_are_blanked_in_place() {
    let cases = [
        ("a \"b\\\"c\" d", "a        d"),
        ("x // y\nz", "x     \nz"),
        ("/* a /* b */ c */ d", "                  d"),
        ("let c = '\"'; e", "let c =    ; e"),
        ("let c = '\\''; e", "let c =     ; e"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("r#\"a\"b\"# c", "         c"),
        ("br\"a\" c", "b     c"),
        ("for r in x", "for r in x"),
        ("'\u{e9}' x", "     x"),
    ];
    for (text, want) in cases {
        let code = code_only(text);
        assert_eq!(code.trim_end(), want.trim_end(), "{text}");
        assert_eq!(code.len(), text.len(), "{text}");
    }
}

#[test]
fn hidden_characters_are_found_everywhere_and_letters_in_code() {
    let rules = Rules::default();
    assert_eq!(odd_characters(&one("a.md", "a\u{200b}b"), &rules).len(), 1);
    assert!(odd_characters(&one("a.md", "caf\u{e9} \u{d7} 2"), &rules).is_empty());
    assert_eq!(odd_characters(&one("a.rs", "// caf\u{e9}"), &rules).len(), 1);
    assert!(odd_characters(&one("a.rs", "let s = \"caf\u{e9}\";"), &rules).is_empty());
    assert_eq!(odd_characters(&one("a.rs", "let s = \"a\u{200b}\";"), &rules).len(), 1);
    assert!(odd_characters(&one("a.rs", "// 3 \u{d7} 4 \u{2192} 12"), &rules).is_empty());
    assert!(odd_characters(&one("tests/data/a.md", "\u{feff}"), &rules).is_empty());
    let listed = Rules { non_ascii: vec!["a.rs".to_owned()], ..Rules::default() };
    assert!(odd_characters(&one("a.rs", "// caf\u{e9}"), &listed).is_empty());
}

#[test]
fn paths_of_a_machine_are_found() {
    let bad = [
        concat!("see /ro", "ot/dev/notes"),
        concat!("path = \"/ho", "me/anna/models\""),
        concat!("(/Us", "ers/anna/x)"),
        concat!("let p = \"/t", "mp/x\";"),
    ];
    for line in bad {
        assert_eq!(machine_paths(&one("a.rs", line)).len(), 1, "{line}");
    }
    let good =
        [concat!("https://example.org/ho", "me/x"), concat!("cd /ho", "me/you/lcedge"), "a/b/c"];
    for line in good {
        assert!(machine_paths(&one("a.md", line)).is_empty(), "{line}");
    }
    assert!(machine_paths(&one("examples/auth.log", bad[0])).is_empty());
}

#[test]
fn words_are_whole() {
    assert!(has_word("unsafe {", "unsafe"));
    assert!(!has_word("unsafe_code", "unsafe"));
    assert!(!has_word("not_unsafe", "unsafe"));
}
