// What rsigma says of cases: witness CASES.ndjson; a case a line, {"rules": YAML, "pipeline": YAML or "", "events": […]}.
// Prints a JSON line for each: {"refused": reason} or {"results": [the results of each event]}.
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent, parse_pipeline};
use rsigma_parser::parse_sigma_yaml;
use serde_json::{Value, json};

fn run(case: &Value) -> Result<Vec<Value>, String> {
    let collection = parse_sigma_yaml(case["rules"].as_str().unwrap()).map_err(|error| error.to_string())?;
    if let Some(error) = collection.errors.first() {
        return Err(error.to_string());
    }
    let mut config = CorrelationConfig::default();
    config.emit_detections = false;
    let mut engine = CorrelationEngine::new(config);
    let pipeline = case["pipeline"].as_str().unwrap();
    if !pipeline.is_empty() {
        engine.add_pipeline(parse_pipeline(pipeline).map_err(|error| error.to_string())?);
    }
    engine.add_collection(&collection).map_err(|error| error.to_string())?;
    let mut out = vec![];
    for event in case["events"].as_array().unwrap() {
        out.push(serde_json::to_value(engine.process_event(&JsonEvent::borrow(event))).map_err(|error| error.to_string())?);
    }
    Ok(out)
}

fn main() {
    let path = std::env::args().nth(1).expect("a file of cases");
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let found = match run(&case) {
            Ok(results) => json!({"results": results}),
            Err(reason) => json!({"refused": reason}),
        };
        println!("{found}");
    }
}
