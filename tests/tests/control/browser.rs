//! A headless Chromium on a host of the lab, driven by the DevTools protocol over pipes.
//!
//! Owns the browser and what it complained about. Refuses to know the page.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use vrrp_lab::{
    Host, Process,
    capability::find_program,
    clock::{self, nanos, now_ns},
};

/// A first start on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Browser {
    commands: File,
    messages: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    complaints: Vec<String>,
    process: Process,
}

impl Browser {
    pub(crate) fn start(host: &Host) -> Self {
        let [to, from, profile] = ["to-browser", "from-browser", "profile"].map(|name| host.file(name));
        for pipe in [&to, &from] {
            host.namespace().run("mkfifo", &[&pipe.to_string_lossy()]).unwrap();
        }
        let program = find_program("chromium").unwrap();
        let command = format!(
            "exec {} --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --disable-background-networking --disable-extensions --remote-debugging-pipe --user-data-dir={} \
             about:blank 3<>{} 4<>{}",
            program.display(),
            profile.display(),
            to.display(),
            from.display()
        );
        let process = host.spawn("chromium", Path::new("/bin/sh"), &["-c", &command]).unwrap();
        // Both ends are opened for both ways: nobody waits for the other to open his.
        let open = |path| File::options().read(true).write(true).open(path).unwrap();
        let (commands, answers) = (open(&to), open(&from));
        let (messages_in, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let Ok(message) = message else { return };
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if messages_in.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Self { commands, messages, session: None, sent: 0, complaints: Vec::new(), process };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = browser
            .call("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// One command and its answer; what comes between is looked at for complaints.
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let mut command = json!({ "id": self.sent, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let until = now_ns() + nanos(LIMIT);
        loop {
            let left = Duration::from_nanos(until.saturating_sub(now_ns()));
            let Ok(message) = self.messages.recv_timeout(left) else {
                panic!("no answer to {method}:\n{}", self.process.log())
            };
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let (method, parameters) = (message["method"].as_str().unwrap_or_default(), &message["params"]);
        let is_complaint = match method {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].iter().any(|kind| parameters["type"] == *kind)
            }
            "Log.entryAdded" => {
                parameters["entry"]["level"] == "error" || parameters["entry"]["level"] == "warning"
            }
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// The value of an expression.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let until = now_ns() + nanos(LIMIT);
        while self.evaluate(expression) != true {
            assert!(
                now_ns() < until,
                "never: {expression}\n{}\n{:?}",
                self.evaluate("document.body.innerText"),
                self.complaints
            );
            clock::sleep_ms(50);
        }
    }

    pub(crate) fn look_like(&mut self, width: u32, height: u32, dark: bool) {
        let scale = if width < 600 { 2 } else { 1 };
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &screen);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// The whole page as a PNG.
    pub(crate) fn shoot(&mut self, file: &Path) {
        let shot =
            self.call("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        let mut decoder = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(File::create(file).unwrap())
            .spawn()
            .unwrap();
        decoder.stdin.take().unwrap().write_all(shot["data"].as_str().unwrap().as_bytes()).unwrap();
        assert!(decoder.wait().unwrap().success());
        assert!(fs::metadata(file).unwrap().len() > 10_000, "an empty picture");
    }

    /// Errors and warnings in the console so far.
    pub(crate) fn complaints(&mut self) -> &[String] {
        // What came since the last command.
        self.evaluate("0");
        &self.complaints
    }
}
