//! The templates on which results are reported. Nothing is ever chosen on them.

use super::template::Template;
use super::template::Wording::{Event, Note, Pairs};
use super::words::{Name, Value};

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        id: "site-tunnel",
        name: Name::Site,
        value: Value::Ip,
        lines: &[
            Pairs("vpn=up site=\"{e}\" endpoint={v} cipher=aes"),
            Event("charon", "tunnel to {e} established, remote end {v}"),
            Note("Remember that the far end of the tunnel to {e} is {v}."),
        ],
        questions: &[
            "Where does the tunnel to {e} end?",
            "What is the remote address of the tunnel to {e}?",
        ],
        near: &["Who is the landlord of {e}?", "How fast is the line to {e}?"],
    },
    Template {
        id: "host-console",
        name: Name::Host,
        value: Value::Port,
        lines: &[
            Pairs("console={e} proto=telnet tcp_port={v}"),
            Event("conserver", "serial console of {e} exported at TCP {v}"),
            Note("You get the serial console of {e} when you connect to TCP port {v}."),
        ],
        questions: &[
            "At which TCP port is the serial console of {e}?",
            "Which port gives the serial console of {e}?",
        ],
        near: &["What is the kernel of {e}?", "How long has {e} been running?"],
    },
    Template {
        id: "build-approver",
        name: Name::Build,
        value: Value::Person,
        lines: &[
            Pairs("gate=release artefact=\"{e}\" signed_off_by=\"{v}\""),
            Event("releasebot", "{e} approved for production by {v}"),
            Note("It was {v} who signed off {e} in the end."),
        ],
        questions: &["Who approved {e}?", "By whom was {e} signed off?"],
        near: &["How large is the artefact of {e}?", "How many tests did {e} skip?"],
    },
    Template {
        id: "service-licence",
        name: Name::Service,
        value: Value::Code,
        lines: &[
            Pairs("licence_for={e} key={v} seats=40"),
            Event("licd", "activated {e} with licence key {v}"),
            Note("The vendor sent {v} as the licence key for {e}."),
        ],
        questions: &[
            "What is the licence key of {e}?",
            "With which licence key was {e} activated?",
        ],
        near: &["What does the licence of {e} cost?", "Who is the vendor of {e}?"],
    },
    Template {
        id: "unit-inspection",
        name: Name::Unit,
        value: Value::Time,
        lines: &[
            Pairs("inspection machine=\"{e}\" slot=\"{v}\""),
            Event("maint", "{e} will be inspected at {v}"),
            Note("The inspector comes for {e} at {v}, please clear the area."),
        ],
        questions: &["At what hour is {e} inspected?", "When does the inspector come for {e}?"],
        near: &["What did the repair of {e} cost?", "Where does {e} stand?"],
    },
    Template {
        id: "host-driver",
        name: Name::Host,
        value: Value::Version,
        lines: &[
            Pairs("driver=loaded node={e} gpu_driver={v}"),
            Event("dkms", "{e}: graphics driver {v} installed"),
            Note("Only graphics driver {v} works on {e}, do not update it."),
        ],
        questions: &[
            "Which graphics driver is installed on {e}?",
            "What version is the graphics driver on {e}?",
        ],
        near: &["How many cores has {e}?", "Which graphics card is in {e}?"],
    },
    Template {
        id: "project-archive",
        name: Name::Project,
        value: Value::Path,
        lines: &[
            Pairs("archived=\"{e}\" location={v}"),
            Event("archiver", "drawings of {e} packed into {v}"),
            Note("All drawings of {e} went into {v} last night."),
        ],
        questions: &[
            "Where are the drawings of {e}?",
            "Into which file were the drawings of {e} packed?",
        ],
        near: &["Who drew the plans of {e}?", "How many drawings does {e} have?"],
    },
    Template {
        id: "ticket-refund",
        name: Name::Ticket,
        value: Value::Amount,
        lines: &[
            Pairs("case={e} compensation_eur={v} paid=1"),
            Event("claims", "{e} closed with a compensation of {v} EUR"),
            Note("To settle {e} we paid {v} EUR to the customer."),
        ],
        questions: &["How much compensation was paid for {e}?", "What sum settled {e}?"],
        near: &["How many customers were hit by {e}?", "What was the cause of {e}?"],
    },
    Template {
        id: "person-locker",
        name: Name::Person,
        value: Value::Code,
        lines: &[
            Pairs("badge=\"{e}\" locker={v}"),
            Event("facility", "locker {v} handed to {e}"),
            Note("{e} keeps the spare keys in locker {v}."),
        ],
        questions: &["Which locker belongs to {e}?", "What is the number of {e}'s locker?"],
        near: &["Which car does {e} drive?", "When does {e} retire?"],
    },
    Template {
        id: "unit-pressure",
        name: Name::Unit,
        value: Value::Measure,
        lines: &[
            Pairs("gauge=\"{e}\" pressure_bar={v} limit=exceeded"),
            Event("plc", "{e} over limit: {v} bar"),
            Note("The gauge on {e} showed {v} bar, far too much."),
        ],
        questions: &["What pressure did {e} show?", "How many bar were measured at {e}?"],
        near: &["What is the capacity of {e}?", "How often is {e} oiled?"],
    },
    Template {
        id: "build-digest",
        name: Name::Build,
        value: Value::Hex,
        lines: &[
            Pairs("pushed image_of=\"{e}\" digest={v}"),
            Event("registry", "stored image of {e} under digest {v}"),
            Note("Compare the image with digest {v}, that is the true one of {e}."),
        ],
        questions: &[
            "What is the digest of the image of {e}?",
            "Under which digest is the image of {e} stored?",
        ],
        near: &["From which branch was {e} made?", "Which base image does {e} use?"],
    },
    Template {
        id: "person-voicemail",
        name: Name::Person,
        value: Value::Pin,
        lines: &[
            Pairs("pbx=voicemail user=\"{e}\" pin={v}"),
            Event("asterisk", "voicemail PIN of {e} reset to {v}"),
            Note("{e} forgot the voicemail PIN again, I reset it to {v}."),
        ],
        questions: &[
            "What is the voicemail PIN of {e}?",
            "To what was the voicemail PIN of {e} reset?",
        ],
        near: &["What is the extension of {e}?", "Which language does {e} speak?"],
    },
    Template {
        id: "unit-mechanic",
        name: Name::Unit,
        value: Value::Person,
        lines: &[
            Pairs("repair=\"{e}\" mechanic=\"{v}\" done=yes"),
            Event("workshop", "{e} was repaired by {v}"),
            Note("Thanks to {v}, {e} is running again."),
        ],
        questions: &["Who repaired {e}?", "Which mechanic got {e} running again?"],
        near: &["Who made {e}?", "What does {e} weigh?"],
    },
    Template {
        id: "shipment-return",
        name: Name::Shipment,
        value: Value::Date,
        lines: &[
            Pairs("rma=\"{e}\" back_on=\"{v}\""),
            Event("returns", "{e} will be returned on {v}"),
            Note("The customer sends {e} back to us on {v}."),
        ],
        questions: &["On which date does {e} come back?", "When will {e} be returned?"],
        near: &["How many boxes has {e}?", "Who packed {e}?"],
    },
    Template {
        id: "unit-radio",
        name: Name::Unit,
        value: Value::Mac,
        lines: &[
            Pairs("paired=\"{e}\" radio={v} rssi=-61"),
            Event("wpa_supplicant", "radio of {e} joined as {v}"),
            Note("The radio module in {e} answers as {v}."),
        ],
        questions: &[
            "What is the radio address of {e}?",
            "As which address does the radio of {e} join?",
        ],
        near: &["What is the battery level of {e}?", "Which channel does {e} use?"],
    },
    Template {
        id: "site-callsign",
        name: Name::Site,
        value: Value::Word,
        lines: &[
            Pairs("radio_site=\"{e}\" callsign={v}"),
            Event("tower", "call sign of {e} for this week: {v}"),
            Note("On the radio {e} goes by the call sign {v}."),
        ],
        questions: &["What is the call sign of {e}?", "Which call sign does {e} use on the radio?"],
        near: &["Which frequency does {e} use?", "What is the street of {e}?"],
    },
    Template {
        id: "shipment-pallets",
        name: Name::Shipment,
        value: Value::Count,
        lines: &[
            Pairs("manifest=\"{e}\" items={v} checked=yes"),
            Event("scanner", "counted {v} items in {e}"),
            Note("I counted {e} twice and got {v} items both times."),
        ],
        questions: &["How many items are in {e}?", "How many items were counted in {e}?"],
        near: &["Which customs office cleared {e}?", "What is the value of {e}?"],
    },
    Template {
        id: "build-duration",
        name: Name::Build,
        value: Value::Duration,
        lines: &[
            Pairs("ci=\"{e}\" result=green took=\"{v}\""),
            Event("ci", "{e} finished in {v}"),
            Note("It took {v} until {e} was through."),
        ],
        questions: &["How long did {e} take?", "How much time did {e} need?"],
        near: &["On which machine ran {e}?", "Who broke {e}?"],
    },
    Template {
        id: "shipment-destination",
        name: Name::Shipment,
        value: Value::Town,
        lines: &[
            Pairs("routing=\"{e}\" unload_at={v}"),
            Event("harbour", "{e} will be unloaded in {v}"),
            Note("The papers say that {e} is to be unloaded in {v}."),
        ],
        questions: &["Where will {e} be unloaded?", "In which town is {e} unloaded?"],
        near: &["Which ship carries {e}?", "Who is the sender of {e}?"],
    },
    Template {
        id: "site-sensor",
        name: Name::Site,
        value: Value::Serial,
        lines: &[
            Pairs("calibrated sensor={v} location=\"{e}\""),
            Event("calib", "sensor {v} mounted at {e}"),
            Note("The dust sensor that hangs at {e} is {v}."),
        ],
        questions: &["Which sensor is mounted at {e}?", "What is the serial of the sensor at {e}?"],
        near: &["How many doors has {e}?", "How cold is it at {e}?"],
    },
    Template {
        id: "account-balance",
        name: Name::Account,
        value: Value::Amount,
        lines: &[
            Pairs("closing=\"{e}\" balance={v} currency=EUR"),
            Event("ledgerd", "{e} closed the year at {v} EUR"),
            Note("At the end of the year {e} stood at {v} EUR."),
        ],
        questions: &[
            "What was the balance of {e} at the end of the year?",
            "At what amount did {e} close the year?",
        ],
        near: &["Who audits {e}?", "Which interest does {e} bear?"],
    },
    Template {
        id: "ticket-meeting",
        name: Name::Ticket,
        value: Value::Time,
        lines: &[
            Pairs("review={e} starts=\"{v}\" where=online"),
            Event("calendar", "review of {e} moved to {v}"),
            Note("We look at {e} together at {v}."),
        ],
        questions: &["At what time is the review of {e}?", "When do we review {e}?"],
        near: &["Who first noticed {e}?", "Which team reported {e}?"],
    },
];
