// FortiGate lines to JSON by VRL: `soc-bench-vrl IN OUT`, file to file, one thread. The remap moves the commonest fields to ECS.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use vrl::compiler::{TargetValue, TimeZone, runtime::Runtime, state::RuntimeState};
use vrl::value::{KeyString, Secrets, Value};

const REMAP: &str = r#"
. = parse_key_value!(string!(.message))
.source = {"ip": del(.srcip), "port": to_int(del(.srcport)) ?? null, "bytes": to_int(del(.sentbyte)) ?? null}
.destination = {"ip": del(.dstip), "port": to_int(del(.dstport)) ?? null, "bytes": to_int(del(.rcvdbyte)) ?? null}
.event = {"action": del(.action), "dataset": "fortigate", "code": del(.logid)}
.observer = {"name": del(.devname), "serial_number": del(.devid)}
.rule = {"id": del(.policyid), "name": del(.policyname)}
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let program = vrl::compiler::compile(REMAP, &vrl::stdlib::all()).expect("the remap compiles").program;
    let input = BufReader::with_capacity(1 << 20, std::fs::File::open(&arguments[1]).expect("input"));
    let mut output = BufWriter::with_capacity(1 << 20, std::fs::File::create(&arguments[2]).expect("output"));
    let mut runtime = Runtime::new(RuntimeState::default());
    let zone = TimeZone::default();
    for line in input.lines() {
        let mut fields: BTreeMap<KeyString, Value> = BTreeMap::new();
        fields.insert("message".into(), Value::from(line.expect("text")));
        let mut target = TargetValue { value: Value::Object(fields), metadata: Value::Object(BTreeMap::new()), secrets: Secrets::default() };
        runtime.resolve(&mut target, &program, &zone).expect("the remap runs");
        runtime.clear();
        serde_json::to_writer(&mut output, &target.value).expect("JSON");
        output.write_all(b"\n").expect("written");
    }
    output.flush().expect("written");
}
