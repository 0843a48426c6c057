// One pass of rsigma over parsed events: bench-rsigma RULES.yml EVENTS.ndjson; prints one JSON object.
use rsigma_eval::{Engine, JsonEvent};
use rsigma_parser::parse_sigma_yaml;
use std::time::Instant;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// Seconds of processor time so far: what others run on the same core does not count.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let before = resident_kib();
    let begin = Instant::now();
    let rules = parse_sigma_yaml(&std::fs::read_to_string(&args[1]).unwrap()).unwrap();
    let mut engine = Engine::new();
    engine.add_collection(&rules).unwrap();
    let load = begin.elapsed().as_secs_f64();
    let memory = (resident_kib() - before) / 1024;
    let text = std::fs::read_to_string(&args[2]).unwrap();
    let events: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut rates = vec![];
    let mut hits = 0;
    for _ in 0..3 {
        hits = 0;
        let begin = processor();
        for event in &events {
            hits += engine.evaluate(&JsonEvent::borrow(event)).len();
        }
        rates.push(events.len() as f64 / (processor() - begin));
    }
    rates.sort_by(f64::total_cmp);
    println!("{{\"rate\":{:.0},\"hits\":{hits},\"rules\":{},\"load\":{load:.3},\"mib\":{memory}}}", rates[1], engine.rule_count());
}
