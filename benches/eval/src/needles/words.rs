//! Names and values, drawn from seeded lists. Each family has its own half of every list.

use super::Family;
use crate::rng::Rng;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `kestrel-14`
    Host,
    /// `ledger-sync`
    Service,
    /// `Ingrid Halvorsen`
    Person,
    /// `pump P-417`
    Unit,
    /// `the Norrvik depot`
    Site,
    /// `INC-48213`
    Ticket,
    /// `project Saffron 31`
    Project,
    /// `shipment KV-4471`
    Shipment,
    /// `account 730418`
    Account,
    /// `build 5521`
    Build,
}

/// What a fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `QX7-4412`
    Code,
    /// `10.31.7.92`
    Ip,
    /// `48213`
    Port,
    /// `Ingrid Halvorsen`
    Person,
    /// `4:37 pm`
    Time,
    /// `14 August 2031`
    Date,
    /// `/srv/ledger/archive-417.tar`
    Path,
    /// `6.18.3`
    Version,
    /// `4182.50`
    Amount,
    /// `73.42`
    Measure,
    /// `9f31c07a`
    Hex,
    /// `730418`
    Pin,
    /// `7318`
    Count,
    /// `3h 41m`
    Duration,
    /// `02:9c:41:7e:10:d3`
    Mac,
    /// `marzipan`
    Word,
    /// `Norrvik`
    Town,
    /// `SN-40718-KD`
    Serial,
}

const BIRDS: &[&str] = &[
    "kestrel",
    "heron",
    "osprey",
    "plover",
    "merlin",
    "curlew",
    "lapwing",
    "dunlin",
    "siskin",
    "wigeon",
    "gannet",
    "petrel",
    "bittern",
    "avocet",
    "brambling",
    "redshank",
];
const NOUNS: &[&str] = &[
    "ledger", "parcel", "tariff", "beacon", "roster", "voucher", "meter", "catalog", "freight",
    "payroll", "harvest", "consent", "locker", "fleet", "archive", "sensor",
];
const VERBS: &[&str] = &[
    "sync", "relay", "mapper", "broker", "indexer", "loader", "notifier", "scorer", "gateway",
    "planner", "merger", "cutter", "printer", "router", "checker", "feeder",
];
const FIRST: &[&str] = &[
    "Ingrid", "Tobias", "Amara", "Lucia", "Henrik", "Priya", "Matteo", "Yuki", "Selma", "Anton",
    "Zofia", "Rafael", "Leila", "Oskar", "Noor", "Viktor", "Celine", "Dario", "Freya", "Malik",
    "Agnes", "Ruben", "Tamsin", "Emeka",
];
const LAST: &[&str] = &[
    "Halvorsen",
    "Brandt",
    "Okafor",
    "Moretti",
    "Lindqvist",
    "Raman",
    "Castell",
    "Tanaka",
    "Aydin",
    "Novak",
    "Kowalczyk",
    "Duarte",
    "Haddad",
    "Vestergaard",
    "Rahimi",
    "Petrov",
    "Marchand",
    "Colombo",
    "Eriksen",
    "Diallo",
    "Weiss",
    "Santoro",
    "Thorne",
    "Adeyemi",
];
const MACHINES: &[&str] = &[
    "pump",
    "boiler",
    "press",
    "chiller",
    "turbine",
    "conveyor",
    "compressor",
    "kiln",
    "mixer",
    "lathe",
    "crane",
    "furnace",
];
const PLACES: &[&str] =
    &["depot", "yard", "plant", "lab", "office", "warehouse", "terminal", "workshop"];
const TOWN_HEADS: &[&str] = &[
    "Norr", "Ald", "Brin", "Cald", "Dover", "Elm", "Fern", "Grim", "Hal", "Ist", "Kar", "Lund",
    "Mor", "Oster", "Pell", "Ravn",
];
const TOWN_TAILS: &[&str] =
    &["vik", "mere", "stad", "holt", "wick", "borg", "ness", "dale", "ford", "by"];
const COLOURS: &[&str] = &[
    "Saffron",
    "Cobalt",
    "Juniper",
    "Umber",
    "Vermilion",
    "Indigo",
    "Sorrel",
    "Ochre",
    "Celadon",
    "Sable",
    "Amaranth",
    "Teal",
];
const RARE_WORDS: &[&str] = &[
    "marzipan",
    "trellis",
    "gondola",
    "thimble",
    "lantern",
    "quartz",
    "paprika",
    "sundial",
    "bassoon",
    "tapestry",
    "walnut",
    "monsoon",
    "porcelain",
    "hammock",
    "cinnamon",
    "glacier",
    "mandolin",
    "origami",
    "pelican",
    "saddlebag",
    "tangerine",
    "velvet",
    "windmill",
    "yardarm",
    "zeppelin",
    "artichoke",
    "buttercup",
    "chandelier",
    "driftwood",
    "espresso",
    "firefly",
    "gargoyle",
    "honeycomb",
    "icicle",
    "jackdaw",
    "kaleidoscope",
    "lighthouse",
    "meadowlark",
    "nutmeg",
    "obelisk",
    "parsnip",
    "quicksand",
    "rosemary",
    "snowdrop",
    "treacle",
    "umbrella",
    "violin",
    "wheelbarrow",
    "pinecone",
    "abacus",
];
const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const FOLDERS: &[&str] = &[
    "/srv/pool",
    "/var/spool/intake",
    "/opt/vault",
    "/mnt/cold",
    "/etc/sites",
    "/data/bundles",
    "/srv/mirror",
    "/opt/stage",
];
const FILES: &[&str] =
    &["journal", "bundle", "settings", "extract", "layout", "snapshot", "rules", "keys"];
const ENDINGS: &[&str] = &["tar", "toml", "db", "yaml", "bin", "csv", "json", "pem"];
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";

/// One of the family's half of `list`.
fn word<'a>(list: &[&'a str], family: Family, rng: &mut Rng) -> &'a str {
    let half = list.len() / 2;
    match family {
        Family::Calibration => rng.pick(&list[..half]),
        Family::Evaluation => rng.pick(&list[half..]),
    }
}

fn letter(rng: &mut Rng) -> char {
    char::from(rng.pick(LETTERS))
}

fn person(family: Family, rng: &mut Rng) -> String {
    format!("{} {}", word(FIRST, family, rng), word(LAST, family, rng))
}

fn town(family: Family, rng: &mut Rng) -> String {
    format!("{}{}", word(TOWN_HEADS, family, rng), rng.pick(TOWN_TAILS))
}

impl Name {
    /// A name of this kind.
    pub(super) fn draw(self, family: Family, rng: &mut Rng) -> String {
        match self {
            Self::Host => format!("{}-{}", word(BIRDS, family, rng), rng.between(10, 99)),
            Self::Service => format!("{}-{}", word(NOUNS, family, rng), rng.pick(VERBS)),
            Self::Person => person(family, rng),
            Self::Unit => {
                let machine = word(MACHINES, family, rng);
                format!("{machine} {}-{}", letter(rng), rng.between(100, 999))
            }
            Self::Site => format!("the {} {}", town(family, rng), rng.pick(PLACES)),
            Self::Ticket => format!("INC-{}", rng.between(10_000, 99_999)),
            Self::Project => {
                format!("project {} {}", word(COLOURS, family, rng), rng.between(10, 99))
            }
            Self::Shipment => {
                let letters = format!("{}{}", letter(rng), letter(rng));
                format!("shipment {letters}-{}", rng.between(1000, 9999))
            }
            Self::Account => format!("account {}", rng.between(100_000, 999_999)),
            Self::Build => format!("build {}", rng.between(1000, 9999)),
        }
    }

    /// A name that is easily taken for `name`: another number, surname, verb or place.
    pub(super) fn similar(self, name: &str, family: Family, rng: &mut Rng) -> String {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let low = 10_u32.pow(u32::try_from(digits).unwrap_or(1) - 1);
            let number = rng.between(low, low * 10 - 1);
            return format!("{}{number}", &name[..name.len() - digits]);
        }
        let split = name.rfind([' ', '-']).map_or(0, |at| at + 1);
        let tail = match self {
            Self::Person => word(LAST, family, rng),
            Self::Site => rng.pick(PLACES),
            _ => rng.pick(VERBS),
        };
        format!("{}{tail}", &name[..split])
    }
}

impl Value {
    /// A value of this kind.
    pub(super) fn draw(self, family: Family, rng: &mut Rng) -> String {
        match self {
            Self::Code => {
                let head = format!("{}{}{}", letter(rng), letter(rng), rng.between(2, 9));
                format!("{head}-{}", rng.between(1000, 9999))
            }
            Self::Ip => {
                let (b, c, d) = (rng.between(41, 250), rng.between(1, 250), rng.between(10, 250));
                format!("10.{b}.{c}.{d}")
            }
            Self::Port => rng.between(10_000, 65_000).to_string(),
            Self::Person => person(family, rng),
            Self::Time => {
                let half = rng.pick(&["am", "pm"]);
                format!("{}:{:02} {half}", rng.between(1, 12), rng.between(1, 59))
            }
            Self::Date => {
                let (day, month) = (rng.between(1, 28), rng.pick(MONTHS));
                format!("{day} {month} {}", rng.between(2027, 2039))
            }
            Self::Path => {
                let (folder, file) = (rng.pick(FOLDERS), rng.pick(FILES));
                format!("{folder}/{file}-{}.{}", rng.between(100, 999), rng.pick(ENDINGS))
            }
            Self::Version => {
                format!("{}.{}.{}", rng.between(2, 9), rng.between(10, 40), rng.between(1, 9))
            }
            Self::Amount => format!("{}.{:02}", rng.between(1000, 9800), rng.between(1, 99)),
            Self::Measure => format!("{}.{:02}", rng.between(12, 98), rng.between(1, 99)),
            Self::Hex => rng.hex(8),
            Self::Pin => rng.between(100_000, 999_999).to_string(),
            Self::Count => rng.between(1100, 9900).to_string(),
            Self::Duration => format!("{}h {}m", rng.between(2, 9), rng.between(10, 59)),
            Self::Mac => {
                let pairs: Vec<String> = (0..5).map(|_| rng.hex(2)).collect();
                format!("02:{}", pairs.join(":"))
            }
            Self::Word => word(RARE_WORDS, family, rng).to_owned(),
            Self::Town => town(family, rng),
            Self::Serial => {
                format!("SN-{}-{}{}", rng.between(10_000, 99_999), letter(rng), letter(rng))
            }
        }
    }
}
