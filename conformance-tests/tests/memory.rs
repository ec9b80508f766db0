//! What the process keeps in memory leaves it by no core file.

use conformance_tests::shared;

#[tokio::test]
async fn the_service_leaves_no_core_file() {
    let bed = shared().await;
    let pid = std::fs::read_to_string(bed.dir().join("server.pid")).expect("the service runs");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.trim())).expect("limits");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let sizes: Vec<&str> = core
        .unwrap_or_default()
        .split_whitespace()
        .skip(4)
        .take(2)
        .collect();
    assert_eq!(sizes, ["0", "0"], "{limits}");
}
