package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChannelsAreReadWithTheirRoutes(t *testing.T) {
	c := parseGood(t, `alerts:
  slack: {webhook: "${HOOK}"}
  channels:
    security: {slack: {token: "${BOT}", channel: "#security"}, min_severity: high, projects: [widget], rules: [no-provenance], quiet: {from: "22:00", to: "07:30", zone: Europe/Berlin}, hourly: 0, first_look: 3}
    mail: {email: {server: "[::1]:25", tls: none, from: a@example.org, to: [b@example.org]}}
    issues: {github: {repository: example/widget, token_file: t, api: http://127.0.0.1:8080}}
    stderr: {log: {file: "-"}}
    file: {log: {file: alerts.jsonl}}
`+smallConfig)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	defaults := Route{Hourly: 30, FirstLook: 10}
	want := []Channel{
		{Name: "slack", Slack: &Slack{Webhook: Secret{variable: "HOOK"}}, Route: defaults},
		{Name: "file", Log: &LogFile{Path: c.Alerts.Channels[0].Log.Path}, Route: defaults},
		{Name: "issues", GitHub: &GitHubIssues{Repository: "example/widget", Token: Secret{file: c.Alerts.Channels[1].GitHub.Token.file}, API: "http://127.0.0.1:8080"}, Route: defaults},
		{Name: "mail", Email: &Email{Server: "[::1]:25", TLS: "none", From: "a@example.org", To: []string{"b@example.org"}}, Route: defaults},
		{Name: "security", Slack: &Slack{Token: Secret{variable: "BOT"}, Channel: "#security"}, Route: Route{MinSeverity: "high", Projects: []string{"widget"}, Rules: []string{"no-provenance"},
			Quiet: &Quiet{From: 22 * time.Hour, To: 7*time.Hour + 30*time.Minute, Zone: berlin}, FirstLook: 3}},
		{Name: "stderr", Log: &LogFile{}, Route: defaults},
	}
	if diff := cmp.Diff(want, c.Alerts.All(), compare()); diff != "" {
		t.Errorf("channels (- want, + have):\n%s", diff)
	}
	if !strings.HasSuffix(c.Alerts.Channels[0].Log.Path, "/alerts.jsonl") || c.Alerts.Heartbeat != nil {
		t.Errorf("file %q, heartbeat %v", c.Alerts.Channels[0].Log.Path, c.Alerts.Heartbeat)
	}
}

func TestBadChannels(t *testing.T) {
	channel := func(name, text string, want ...string) badConfig {
		return badConfig{name: name, before: `alerts: {channels: {x: {` + text + `}}}`, want: want}
	}
	checkBad(t, []badConfig{
		channel("no kind", `min_severity: high`, `monitor.yaml:1:21: alerts.channels.x: has no kind; give one of slack, webhook, email, github, teams, service and log`),
		channel("two kinds", `log: {file: x}, service: {url_file: y}`, `monitor.yaml:1:21: alerts.channels.x: is service and log at once; make a channel of each`),
		channel("unknown kind", `pager: {url: x}`, `monitor.yaml:1:21: alerts.channels.x: has no kind; give one of slack, webhook, email, github, teams, service and log`,
			`monitor.yaml:1:25: alerts.channels.x.pager: unknown key; the keys here are slack, webhook, email, github, teams, service, log, min_severity, projects, rules, quiet, hourly, first_look`),
		channel("unknown project", `log: {file: x}, projects: [widgets]`, `monitor.yaml:1:52: alerts.channels.x.projects[0]: there is no project "widgets": nothing would be sent for it; did you mean "widget"?`),
		channel("no projects", `log: {file: x}, projects: []`, `monitor.yaml:1:51: alerts.channels.x.projects: is empty; write for example projects: [onnx]`),
		channel("unknown rule", `log: {file: x}, rules: [no-provenence]`, `monitor.yaml:1:49: alerts.channels.x.rules[0]: unknown rule; did you mean "no-provenance"?`),
		channel("rule below the severity", `log: {file: x}, min_severity: high, rules: [wrong-grade, release-yanked]`,
			`monitor.yaml:1:82: alerts.channels.x.rules[1]: matches nothing: the findings of release-yanked are info, and min_severity is high; remove it, or lower min_severity`),
		channel("unknown severity", `log: {file: x}, min_severity: urgent`, `monitor.yaml:1:55: alerts.channels.x.min_severity: "urgent" is not a severity; write one of critical, high, medium, low, info`),
		channel("twice", `log: {file: x}, rules: [wrong-grade, wrong-grade]`, `monitor.yaml:1:62: alerts.channels.x.rules[1]: "wrong-grade" is listed twice; remove it`),
		channel("not a time", `log: {file: x}, quiet: {from: "25:00", to: "7:00"}`, `monitor.yaml:1:55: alerts.channels.x.quiet.from: "25:00" is not a time of the day; write a time of the day in quotes, such as "22:00"`,
			`monitor.yaml:1:68: alerts.channels.x.quiet.to: "7:00" is not a time of the day; write a time of the day in quotes, such as "22:00"`),
		channel("quiet all day", `log: {file: x}, quiet: {from: "07:00", to: "07:00"}`, `monitor.yaml:1:68: alerts.channels.x.quiet.to: is the time at which it begins: it would be quiet all day, or never; write another time`),
		channel("unknown zone", `log: {file: x}, quiet: {from: "22:00", to: "07:00", zone: Mars/Olympus}`, `monitor.yaml:1:83: alerts.channels.x.quiet.zone: "Mars/Olympus" is not a time zone; write a name such as Europe/Berlin, or UTC`),
		channel("not a number", `log: {file: x}, hourly: many`, `monitor.yaml:1:49: alerts.channels.x.hourly: "many" is not a number of messages; write a number up to 9999; 0 is no limit`),
		channel("token without a channel", `slack: {token_file: x}`, `monitor.yaml:1:32: alerts.channels.x.slack.channel: missing; write for example channel: C0123456789`),
		channel("webhook with a channel", `slack: {webhook_file: x, channel: C0123456789}`, `monitor.yaml:1:59: alerts.channels.x.slack.channel: stands beside a webhook, which has its channel already; remove it, or give token_file instead of the webhook`),
		channel("webhook and token", `slack: {webhook_file: x, token_file: y, channel: C0123456789}`, `monitor.yaml:1:32: alerts.channels.x.slack: has a webhook and a token; keep one of them`),
		channel("not a channel", `slack: {token_file: y, channel: general}`, `monitor.yaml:1:57: alerts.channels.x.slack.channel: "general" is not a channel; write the channel's id (C0123456789, in its details) or its name with #`),
		channel("unsigned webhook", `webhook: {url_file: x}`, `monitor.yaml:1:34: alerts.channels.x.webhook.key: missing; put it in a file (key_file: PATH) or in a variable (key: "${VARIABLE}")`),
		channel("secret in the file", `service: {url: "ntfy://:tk_s3cr3t@ntfy.sh/topic"}`, `monitor.yaml:1:40: alerts.channels.x.service.url: holds the secret itself or an incomplete reference to it; put it in a file (url_file: PATH) or in a variable (url: "${VARIABLE}")`),
		channel("no port", `email: {server: smtp.example.org, from: a@example.org, to: [b@example.org]}`, `monitor.yaml:1:41: alerts.channels.x.email.server: has no port; write HOST:PORT, such as smtp.example.org:587`),
		channel("plain text over a network", `email: {server: "smtp.example.org:25", tls: none, from: a@example.org, to: [b@example.org]}`, `monitor.yaml:1:69: alerts.channels.x.email.tls: is for servers on loopback; use starttls or implicit`),
		channel("user without a password", `email: {server: "smtp.example.org:25", from: a@example.org, to: [b@example.org], user: u}`, `monitor.yaml:1:112: alerts.channels.x.email.user: has no password; give password_file too`),
		channel("not a repository", `github: {repository: widget, token_file: x}`, `monitor.yaml:1:46: alerts.channels.x.github.repository: "widget" is not a repository on GitHub; write OWNER/NAME`),
		{name: "two of a name", before: `alerts: {slack: {webhook_file: x}, channels: {slack: {log: {file: x}}}}`, want: []string{`monitor.yaml:1:47: alerts.channels.slack: alerts.slack is a channel of this name already; give one of them another name`}},
		{name: "heartbeat in the file", before: `alerts: {heartbeat: "https://hc.example/s3cr3t"}`, want: []string{`monitor.yaml:1:21: alerts.heartbeat: holds the secret itself or an incomplete reference to it; put it in a file (heartbeat_file: PATH) or in a variable (heartbeat: "${VARIABLE}")`}},
	})
}

// TestARouteThatMatchesNothingIsAnError lowers the severity of every rule below what a channel is told of.
func TestARouteThatMatchesNothingIsAnError(t *testing.T) {
	_, err := Parse("monitor.yaml", []byte("rules: {wrong-grade: {severity: low}, no-provenance: {severity: low}}\nalerts: {channels: {x: {log: {file: x}, min_severity: high}}}\n"+smallConfig), testOptions())
	const want = `monitor.yaml:2:55: alerts.channels.x.min_severity: matches nothing: no rule's findings are high; lower it`
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}
