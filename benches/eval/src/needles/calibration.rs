//! The templates on which thresholds are chosen. No wording here occurs in the other family.

use super::template::Template;
use super::template::Wording::{Event, Note, Pairs};
use super::words::{Name, Value};

pub(super) const TEMPLATES: &[Template] = &[
    Template {
        id: "host-address",
        name: Name::Host,
        value: Value::Ip,
        lines: &[
            Pairs("event=registered host={e} addr={v} state=up"),
            Event("dhcpd", "lease for {e} is now fixed at {v}"),
            Note("We moved {e} to {v} during the maintenance window."),
        ],
        questions: &["What is the IP address of {e}?", "Which address does {e} have now?"],
        near: &["Who owns {e}?", "In which rack is {e}?"],
    },
    Template {
        id: "service-port",
        name: Name::Service,
        value: Value::Port,
        lines: &[
            Pairs("svc={e} listen=0.0.0.0:{v} tls=on"),
            Event("systemd", "{e} is accepting connections on port {v}"),
            Note("From today {e} can be reached on port {v} only."),
        ],
        questions: &["On which port does {e} listen?", "Which port is {e} reached on?"],
        near: &["Which programming language is {e} written in?", "Who wrote {e}?"],
    },
    Template {
        id: "ticket-owner",
        name: Name::Ticket,
        value: Value::Person,
        lines: &[
            Pairs("ticket={e} action=assign owner=\"{v}\""),
            Event("helpdesk", "{e} was assigned to {v}"),
            Note("{v} has taken over {e} from the night shift."),
        ],
        questions: &["Who is working on {e}?", "To whom was {e} assigned?"],
        near: &["What is the priority of {e}?", "When was {e} opened?"],
    },
    Template {
        id: "project-codeword",
        name: Name::Project,
        value: Value::Code,
        lines: &[
            Pairs("scope=\"{e}\" unlock_code={v}"),
            Event("vault", "unlock code for {e} changed to {v}"),
            Note("The unlock code of {e} is {v}, keep it to yourselves."),
        ],
        questions: &["What is the unlock code of {e}?", "Which code unlocks {e}?"],
        near: &["Who is the sponsor of {e}?", "What is the budget of {e}?"],
    },
    Template {
        id: "backup-start",
        name: Name::Host,
        value: Value::Time,
        lines: &[
            Pairs("task=backup target={e} start=\"{v}\""),
            Event("planner", "backup of {e} will start at {v}"),
            Note("Please leave {e} alone after {v}, that is when its backup starts."),
        ],
        questions: &["When does the backup of {e} start?", "At what time is {e} backed up?"],
        near: &["How large is the backup of {e}?", "Where is the backup of {e} stored?"],
    },
    Template {
        id: "unit-firmware",
        name: Name::Unit,
        value: Value::Version,
        lines: &[
            Pairs("unit=\"{e}\" firmware={v} status=flashed"),
            Event("flasher", "{e} now runs firmware {v}"),
            Note("The technician put firmware {v} on {e} before lunch."),
        ],
        questions: &["Which firmware does {e} run?", "What firmware version is on {e}?"],
        near: &["When was {e} bought?", "What colour is {e}?"],
    },
    Template {
        id: "service-config",
        name: Name::Service,
        value: Value::Path,
        lines: &[
            Pairs("svc={e} config={v} reload=ok"),
            Event("confd", "{e} reads its settings from {v}"),
            Note("If {e} misbehaves, look into {v}, its settings live there."),
        ],
        questions: &[
            "Where are the settings of {e}?",
            "Which file does {e} read its settings from?",
        ],
        near: &["Which database does {e} use?", "How many replicas does {e} have?"],
    },
    Template {
        id: "account-invoice",
        name: Name::Account,
        value: Value::Amount,
        lines: &[
            Pairs("posting=\"{e}\" invoice_eur={v}"),
            Event("billing", "invoice for {e} issued over {v} EUR"),
            Note("The March invoice of {e} came to {v} EUR."),
        ],
        questions: &["How much was the invoice for {e}?", "Over what amount was {e} invoiced?"],
        near: &["Which bank does {e} use?", "Who opened {e}?"],
    },
    Template {
        id: "shipment-container",
        name: Name::Shipment,
        value: Value::Code,
        lines: &[
            Pairs("cargo=\"{e}\" container={v} sealed=yes"),
            Event("dock", "{e} was loaded into container {v}"),
            Note("We put {e} into container {v} because the other one leaked."),
        ],
        questions: &["In which container is {e}?", "Which container was {e} loaded into?"],
        near: &["How heavy is {e}?", "Who insured {e}?"],
    },
    Template {
        id: "unit-heat",
        name: Name::Unit,
        value: Value::Measure,
        lines: &[
            Pairs("alarm=overheat unit=\"{e}\" bearing_celsius={v}"),
            Event("scada", "bearing of {e} reached {v} degrees"),
            Note("When I touched the housing of {e} its bearing was at {v} degrees."),
        ],
        questions: &[
            "How hot did the bearing of {e} get?",
            "What temperature did the bearing of {e} reach?",
        ],
        near: &["How loud is {e}?", "How much power does {e} draw?"],
    },
    Template {
        id: "certificate-serial",
        name: Name::Service,
        value: Value::Hex,
        lines: &[
            Pairs("tls=renewed cn={e} serial={v}"),
            Event("certd", "new certificate for {e} has serial {v}"),
            Note("For the records: the certificate of {e} carries the serial {v}."),
        ],
        questions: &[
            "What is the serial of the certificate of {e}?",
            "Which serial does {e}'s certificate have?",
        ],
        near: &["Who issued the certificate of {e}?", "How long is the key of {e}?"],
    },
    Template {
        id: "door-code",
        name: Name::Site,
        value: Value::Pin,
        lines: &[
            Pairs("gate=\"{e}\" keypad={v} updated=1"),
            Event("gatekeeper", "keypad code at {e} set to {v}"),
            Note("To get into {e} type {v} on the keypad."),
        ],
        questions: &["What is the keypad code at {e}?", "Which code opens the gate of {e}?"],
        near: &["How many people work at {e}?", "Who cleans {e}?"],
    },
    Template {
        id: "site-manager",
        name: Name::Site,
        value: Value::Person,
        lines: &[
            Pairs("site=\"{e}\" duty_manager=\"{v}\""),
            Event("roster", "duty manager at {e} tonight is {v}"),
            Note("Call {v} if anything happens at {e} tonight, that is the duty manager."),
        ],
        questions: &["Who is duty manager at {e}?", "Who manages {e} tonight?"],
        near: &["How large is {e}?", "When was {e} built?"],
    },
    Template {
        id: "project-deadline",
        name: Name::Project,
        value: Value::Date,
        lines: &[
            Pairs("plan=\"{e}\" due=\"{v}\""),
            Event("planner", "{e} is due on {v}"),
            Note("The steering group wants {e} finished by {v}."),
        ],
        questions: &["When is {e} due?", "By which date must {e} be finished?"],
        near: &["How many people work on {e}?", "Which customer is {e} for?"],
    },
    Template {
        id: "host-mac",
        name: Name::Host,
        value: Value::Mac,
        lines: &[
            Pairs("if=eth2 host={e} hwaddr={v}"),
            Event("arpwatch", "new station {e} with hardware address {v}"),
            Note("The replacement board of {e} has the hardware address {v}."),
        ],
        questions: &[
            "What is the hardware address of {e}?",
            "Which hardware address does {e} have?",
        ],
        near: &["Which operating system does {e} run?", "How much memory does {e} have?"],
    },
    Template {
        id: "safe-word",
        name: Name::Person,
        value: Value::Word,
        lines: &[
            Pairs("staff=\"{e}\" passphrase={v}"),
            Event("frontdesk", "passphrase of {e} is now {v}"),
            Note("{e} chose {v} as passphrase for the phone."),
        ],
        questions: &["What is the passphrase of {e}?", "Which passphrase did {e} choose?"],
        near: &["What is the phone number of {e}?", "How old is {e}?"],
    },
    Template {
        id: "build-records",
        name: Name::Build,
        value: Value::Count,
        lines: &[
            Pairs("export=\"{e}\" records={v} ok=true"),
            Event("exporter", "{e} wrote {v} records"),
            Note("The export of {e} ended with {v} records, more than I expected."),
        ],
        questions: &[
            "How many records did {e} write?",
            "How many records are in the export of {e}?",
        ],
        near: &["How many warnings did {e} give?", "Which compiler made {e}?"],
    },
    Template {
        id: "outage-length",
        name: Name::Service,
        value: Value::Duration,
        lines: &[
            Pairs("outage={e} downtime=\"{v}\" closed=yes"),
            Event("status", "{e} is back after an outage of {v}"),
            Note("In the end {e} was down for {v}."),
        ],
        questions: &["How long was {e} down?", "How long did the outage of {e} last?"],
        near: &["What caused the outage of {e}?", "How many users does {e} have?"],
    },
    Template {
        id: "person-move",
        name: Name::Person,
        value: Value::Town,
        lines: &[
            Pairs("transfer=\"{e}\" new_office={v}"),
            Event("hr", "{e} transfers to the office in {v}"),
            Note("As of next week {e} works in our {v} office."),
        ],
        questions: &["To which office does {e} move?", "In which town does {e} work now?"],
        near: &["What does {e} earn?", "Who is the supervisor of {e}?"],
    },
    Template {
        id: "disk-serial",
        name: Name::Host,
        value: Value::Serial,
        lines: &[
            Pairs("smart=fail host={e} disk={v}"),
            Event("smartd", "disk {v} in {e} is failing"),
            Note("We pulled the broken disk {v} out of {e}."),
        ],
        questions: &[
            "Which disk failed in {e}?",
            "What is the serial number of the broken disk in {e}?",
        ],
        near: &["How old is the disk in {e}?", "What is the load of {e}?"],
    },
    Template {
        id: "account-limit",
        name: Name::Account,
        value: Value::Amount,
        lines: &[
            Pairs("risk=\"{e}\" credit_limit={v}"),
            Event("risk", "credit limit of {e} lowered to {v} EUR"),
            Note("I agreed with the customer that {e} gets a credit limit of {v} EUR."),
        ],
        questions: &[
            "What is the credit limit of {e}?",
            "To what was the credit limit of {e} set?",
        ],
        near: &["Since when does {e} exist?", "In which country is {e}?"],
    },
    Template {
        id: "shipment-driver",
        name: Name::Shipment,
        value: Value::Person,
        lines: &[
            Pairs("tour=\"{e}\" driver=\"{v}\""),
            Event("dispatch", "{v} drives {e}"),
            Note("I gave {e} to {v}, who knows the road."),
        ],
        questions: &["Who drives {e}?", "Which driver has {e}?"],
        near: &["Which route does {e} take?", "What is in {e}?"],
    },
];
