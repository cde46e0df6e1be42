//! Flag before environment before file before default.

use crate::world::{World, finish};

fn window(world: &World, env: Option<&str>, flag: &[&str]) -> u64 {
    let mut command = world.command(["plan", "--json"].iter().chain(flag));
    if let Some(value) = env {
        command.env("LCEDGE_WINDOW", value);
    }
    finish(&mut command).ok().one("plan")["window_tokens"].as_u64().unwrap()
}

#[test]
fn what_is_nearer_to_the_command_wins() {
    let world = World::new();
    let default = window(&world, None, &[]);
    assert_eq!(default, 320);
    std::fs::create_dir_all(world.path("home/.config/lcedge")).unwrap();
    world.write("home/.config/lcedge/lcedge.toml", "window = 300\n");
    assert_eq!(window(&world, None, &[]), 300, "the user's file");
    world.write("lcedge.toml", "window = 310\n");
    assert_eq!(window(&world, None, &[]), 310, "the folder's file instead of the user's");
    assert_eq!(window(&world, Some("330"), &[]), 330, "the environment");
    assert_eq!(window(&world, Some("330"), &["--window", "340"]), 340, "the flag");
}

#[test]
fn what_is_wrong_in_the_file_is_said_with_file_and_key() {
    let world = World::new();
    for (file, part) in [
        ("windwo = 3\n", "windwo"),
        ("[stream]\nfollow = true\n", "stream.follow"),
        ("ram = \"much\"\n", "ram"),
        ("window = \n", "lcedge.toml"),
    ] {
        world.write("lcedge.toml", file);
        let error = world.json("plan").code(2).error("config");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part) && message.contains("lcedge.toml"), "{message}");
    }
    world.write("lcedge.toml", "json = true\nquiet = true\n[stream]\ntop = 1\n");
    world.write("a.log", World::log(60));
    let ran = world.run(["stream", "--input", "a.log"]).ok();
    assert_eq!(ran.all("surprise").len(), 1);
    ran.summary();
}

#[test]
fn a_condenser_is_chosen_by_flag_environment_and_file() {
    let world = World::new();
    world.write("a.log", World::log(200));
    let read = |flag: &[&str], env: Option<&str>| {
        let words = "eval perplexity --input a.log --history 900 --targets 50 --windows 1 \
                     --memory condensed --json";
        let mut command = world.command(words.split_whitespace().chain(flag.iter().copied()));
        if let Some(name) = env {
            command.env("LCEDGE_CONDENSE", name);
        }
        finish(&mut command)
    };
    let nats =
        |flag: &[&str], env| read(flag, env).ok().one("eval")["nats_per_token"].as_f64().unwrap();
    let surprisal = nats(&[], None);
    assert_eq!(nats(&["--condense", "surprisal"], None), surprisal);
    let camelot = nats(&["--condense", "camelot"], None);
    let matching = nats(&[], Some("matching"));
    let all = [surprisal, camelot, matching];
    assert!(camelot != surprisal && matching != camelot && matching != surprisal, "{all:?}");
    world.write("lcedge.toml", "condense = \"camelot\"\n");
    assert_eq!(nats(&[], None), camelot);
    assert_eq!(nats(&["--condense", "matching"], None), matching);
    let error = read(&["--condense", "magic"], None).code(2).error("bad_argument");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("magic"), "{message}");
    assert!(message.contains("surprisal, camelot, matching"), "{message}");
    world.write("lcedge.toml", "condense = \"magic\"\n");
    let error = read(&[], None).code(2).error("config");
    assert!(error["message"].as_str().unwrap().contains("condense"), "{error}");
}

#[test]
fn sizes_are_those_of_people() {
    let world = World::new();
    let plan = world.json("plan --ram 1.5G --disk 4GB").ok().one("plan");
    assert_eq!(plan["ram_bytes_max"].as_u64(), Some(3 << 29));
    assert_eq!(plan["disk_bytes_max"].as_u64(), Some(4_000_000_000));
}
