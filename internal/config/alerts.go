package config

import (
	"slices"
	"strings"
	"time"
)

// Alerts are the channels for findings.
type Alerts struct {
	// Slack is the channel named "slack", told everything; nil where it is not used.
	Slack *Slack
	// Channels are further channels, sorted by name.
	Channels []Channel
	// Heartbeat is the URL that is called after each pass that was proven; nil where none is.
	Heartbeat *Secret
}

// Channel is one way to reach people, and what it is told. Exactly one of the kinds is set.
type Channel struct {
	// Name is unique among the channels.
	Name    string
	Slack   *Slack
	Webhook *Webhook
	Email   *Email
	GitHub  *GitHubIssues
	Teams   *Teams
	Service *Service
	Log     *LogFile
	Route
}

// Route is what a channel is told, and when.
type Route struct {
	// MinSeverity is the least urgent severity that it is told of, "" for all.
	MinSeverity string
	// Projects and Rules are all that it is told of; empty ones are all there are.
	Projects, Rules []string
	// Quiet is when it is told of nothing that is not critical; nil is never.
	Quiet *Quiet
	// Hourly is how many messages it is sent in an hour before a digest gathers the rest; 0 is no limit.
	Hourly int
	// FirstLook is the number of messages about a project's history above which there is one summary; 0 is never.
	FirstLook int
}

// The limits of a channel that does not say otherwise.
const (
	defaultHourly    = 30
	defaultFirstLook = 10
)

// Quiet is a part of the day, from and to minutes after midnight in a zone.
type Quiet struct {
	From, To time.Duration
	Zone     *time.Location
}

// Slack is an incoming webhook of a Slack channel, or a bot's token and a channel.
type Slack struct {
	// Webhook is used where Channel is "".
	Webhook Secret
	// Token is a bot's, and Channel the id or name of where it posts.
	Token   Secret
	Channel string
	// API replaces https://slack.com/api; "" leaves it.
	API string
	// AppToken is an app's, for buttons; nil for none. Acknowledgers are the users whose presses count; empty for everybody.
	AppToken      *Secret
	Acknowledgers []string
}

// Webhook is a receiver of JSON, signed as Standard Webhooks says.
type Webhook struct {
	URL, Key Secret
}

// Email is an SMTP server and who writes to whom.
type Email struct {
	// Server is HOST:PORT.
	Server string
	// TLS is one of TLSModes.
	TLS  string
	From string
	To   []string
	// User and Password are "" and nil where the server asks for none.
	User     string
	Password *Secret
}

// The ways to protect a connection to an SMTP server.
const (
	TLSStart    = "starttls" // required, not tried
	TLSImplicit = "implicit"
	TLSNone     = "none" // on loopback only
)

// TLSModes are the ways to protect a connection to an SMTP server.
func TLSModes() []string { return []string{TLSStart, TLSImplicit, TLSNone} }

// GitHubIssues is a repository in which each finding is an issue.
type GitHubIssues struct {
	Repository string
	Token      Secret
	// API replaces https://api.github.com; "" leaves it.
	API string
}

// Teams is a webhook of the Workflows app of Microsoft Teams.
type Teams struct {
	URL Secret
}

// Service is a service by URL, which is a secret.
type Service struct {
	URL Secret
}

// LogFile is a file to which alerts are appended, one JSON object a line; standard error where Path is "".
type LogFile struct {
	Path string
}

// All lists every channel that there is.
func (a Alerts) All() []Channel {
	if a.Slack == nil {
		return a.Channels
	}
	slack := Channel{Name: slackChannel, Slack: a.Slack, Route: Route{Hourly: defaultHourly, FirstLook: defaultFirstLook}}
	return append([]Channel{slack}, a.Channels...)
}

// slackChannel is the name of the channel that alerts.slack configures.
const slackChannel = "slack"

type (
	tlsText       struct{ word }
	clockText     struct{ word }
	zoneText      struct{ word }
	countText     struct{ word }
	slackChanTxt  struct{ word }
	slackUserText struct{ word }
)

const (
	clockPattern     = `^([01][0-9]|2[0-3]):[0-5][0-9]$`
	countPattern     = `^[0-9]{1,4}$`
	slackUserPattern = `^[UW][A-Z0-9]{2,30}$`
	slackChanPattern = `^([CG][A-Z0-9]{8,}|#[a-z0-9_-]{1,80})$`
)

// alerts resolves the alerts mapping; nil is one that is not there.
func (r *resolver) alerts(raw *rawAlerts, allowHTTP []string) Alerts {
	var a Alerts
	if raw == nil {
		return a
	}
	if raw.Slack != nil && raw.Slack.At.line > 0 {
		a.Slack = r.slack(raw.Slack, allowHTTP)
	}
	if raw.HeartbeatFile.present() || raw.Heartbeat.present() {
		heartbeat := r.secret(raw.At, "heartbeat", raw.HeartbeatFile, raw.Heartbeat)
		a.Heartbeat = &heartbeat
	}
	for _, item := range raw.Channels {
		name, ok := nameText{item.key}.parse(r.reporter)
		if !ok {
			continue
		}
		if name == slackChannel && a.Slack != nil {
			r.report(item.key.position, "give one of them another name", "alerts.slack is a channel of this name already")
		}
		c := Channel{Name: name, Route: r.route(&item.value)}
		r.kind(&item.value, item.key.position, &c, allowHTTP)
		a.Channels = append(a.Channels, c)
	}
	slices.SortFunc(a.Channels, func(a, b Channel) int { return strings.Compare(a.Name, b.Name) })
	return a
}

// kind resolves what a channel is.
func (r *resolver) kind(raw *rawChannel, at position, c *Channel, allowHTTP []string) {
	var kinds []string
	is := func(kind string, there bool) bool {
		if there {
			kinds = append(kinds, kind)
		}
		return there
	}
	if is("slack", raw.Slack != nil) {
		c.Slack = r.slack(raw.Slack, allowHTTP)
	}
	if is("webhook", raw.Webhook != nil) {
		w := raw.Webhook
		c.Webhook = &Webhook{URL: r.secret(w.At, "url", w.URLFile, w.URL), Key: r.secret(w.At, "key", w.KeyFile, w.Key)}
	}
	if is("email", raw.Email != nil) {
		c.Email = r.email(raw.Email)
	}
	if is("github", raw.GitHub != nil) {
		g := raw.GitHub
		c.GitHub = &GitHubIssues{Repository: g.Repository.text, Token: r.secret(g.At, "token", g.TokenFile, g.Token)}
		if g.Repository.given() && !matches(repositoryPattern, g.Repository.text) {
			r.report(g.Repository.position, "write OWNER/NAME", "%q is not a repository on GitHub", g.Repository.text)
		}
		c.GitHub.API, _ = g.API.parse(r.reporter, allowHTTP)
	}
	if is("teams", raw.Teams != nil) {
		c.Teams = &Teams{URL: r.secret(raw.Teams.At, "url", raw.Teams.URLFile, raw.Teams.URL)}
	}
	if is("service", raw.Service != nil) {
		c.Service = &Service{URL: r.secret(raw.Service.At, "url", raw.Service.URLFile, raw.Service.URL)}
	}
	if is("log", raw.Log != nil) {
		c.Log = &LogFile{}
		if raw.Log.File.text != "-" {
			c.Log.Path = r.path(raw.Log.File)
		}
	}
	switch {
	case len(kinds) == 0 && raw.At.line > 0:
		r.report(at, "give one of slack, webhook, email, github, teams, service and log", "has no kind")
	case len(kinds) > 1:
		r.report(at, "make a channel of each", "is %s at once", strings.Join(kinds, " and "))
	}
}

// slack resolves a webhook, or a token with a channel.
func (r *resolver) slack(raw *rawSlack, allowHTTP []string) *Slack {
	s := &Slack{}
	s.API, _ = raw.API.parse(r.reporter, allowHTTP)
	byToken := raw.Token.present() || raw.TokenFile.present()
	if !byToken {
		s.Webhook = r.secret(raw.At, "webhook", raw.WebhookFile, raw.Webhook)
		if raw.Channel.present() {
			r.report(raw.Channel.position, "remove it, or give token_file instead of the webhook", "stands beside a webhook, which has its channel already")
		}
		if raw.AppToken.present() || raw.AppTokenFile.present() {
			r.report(raw.At, "give token_file instead of the webhook, or remove app_token", "has buttons, which a webhook cannot have")
		}
		return s
	}
	s.Token = r.secret(raw.At, "token", raw.TokenFile, raw.Token)
	if raw.Webhook.present() || raw.WebhookFile.present() {
		r.report(raw.At, "keep one of them", "has a webhook and a token")
	}
	switch {
	case raw.Channel.given() && !matches(slackChanPattern, raw.Channel.text):
		r.report(raw.Channel.position, "write the channel's id (C0123456789, in its details) or its name with #", "%q is not a channel", raw.Channel.text)
	case !raw.Channel.present():
		r.report(raw.At.child("channel"), "write for example channel: C0123456789", "missing")
	}
	s.Channel = raw.Channel.text
	if raw.AppToken.present() || raw.AppTokenFile.present() {
		s.AppToken = new(r.secret(raw.At, "app_token", raw.AppTokenFile, raw.AppToken))
	}
	s.Acknowledgers = distinct(r, raw.Acknowledgers)
	return s
}

// parse returns a user's id.
func (v slackUserText) parse(r *reporter) (string, bool) {
	if v.given() && !matches(slackUserPattern, v.text) {
		r.report(v.position, "write the member's id (U0123456789, in their profile)", "%q is not a user", v.text)
		return "", false
	}
	return v.text, v.given()
}

// email resolves an SMTP server.
func (r *resolver) email(raw *rawEmail) *Email {
	e := &Email{TLS: TLSStart, User: raw.User.text, To: distinct(r, raw.To)}
	e.Server, _ = raw.Server.parse(r.reporter)
	e.From, _ = raw.From.parse(r.reporter)
	if e.Server != "" && !strings.Contains(strings.TrimPrefix(e.Server, "["), ":") {
		r.report(raw.Server.position, "write HOST:PORT, such as "+e.Server+":587", "has no port")
	}
	if raw.TLS.given() {
		e.TLS = raw.TLS.text
		if !slices.Contains(TLSModes(), e.TLS) {
			r.report(raw.TLS.position, suggest(e.TLS, TLSModes()), "%q is not a way to protect a connection", e.TLS)
		}
		if e.TLS == TLSNone && !isLoopback(hostOf(e.Server)) {
			r.report(raw.TLS.position, "use starttls or implicit", "is for servers on loopback")
		}
	}
	if raw.Password.present() || raw.PasswordFile.present() {
		password := r.secret(raw.At, "password", raw.PasswordFile, raw.Password)
		e.Password = &password
	}
	switch {
	case raw.User.given() && e.Password == nil:
		r.report(raw.User.position, "give password_file too", "has no password")
	case !raw.User.given() && e.Password != nil:
		r.report(raw.At.child("user"), "write for example user: rekoncile", "missing")
	}
	return e
}

// hostOf is HOST:PORT without the port.
func hostOf(server string) string {
	if i := strings.LastIndex(server, ":"); i >= 0 {
		server = server[:i]
	}
	return strings.Trim(server, "[]")
}

// route resolves what a channel is told. One that can be told nothing is an error: nobody would notice.
func (r *resolver) route(raw *rawChannel) Route {
	route := Route{Hourly: defaultHourly, FirstLook: defaultFirstLook}
	if s := raw.MinSeverity; s.given() {
		if !slices.Contains(r.options.Severities, s.text) {
			r.report(s.position, suggest(s.text, r.options.Severities), "%q is not a severity", s.text)
		} else {
			route.MinSeverity = s.text
		}
	}
	for _, p := range raw.Projects {
		if _, known := r.projects[p.text]; p.given() && !known {
			r.report(p.position, suggest(p.text, sortedKeys(r.projects)), "there is no project %q: nothing would be sent for it", p.text)
		}
	}
	route.Projects = distinct(r, raw.Projects)
	for _, rule := range raw.Rules {
		switch {
		case !rule.given():
		case !slices.Contains(r.options.Rules, rule.text):
			r.report(rule.position, suggest(rule.text, slices.Sorted(slices.Values(r.options.Rules))), "unknown rule")
		case !r.reaches(rule.text, route.MinSeverity):
			r.report(rule.position, "remove it, or lower min_severity", "matches nothing: the findings of %s are %s, and min_severity is %s", rule.text, r.severityOf(rule.text), route.MinSeverity)
		}
	}
	route.Rules = distinct(r, raw.Rules)
	if route.MinSeverity != "" && len(raw.Rules) == 0 && !slices.ContainsFunc(r.options.Rules, func(rule string) bool { return r.reaches(rule, route.MinSeverity) }) {
		r.report(raw.MinSeverity.position, "lower it", "matches nothing: no rule's findings are %s", route.MinSeverity)
	}
	if q := raw.Quiet; q != nil && q.At.line > 0 {
		route.Quiet = r.quiet(q)
	}
	if n, ok := raw.Hourly.parse(r.reporter); ok {
		route.Hourly = n
	}
	if n, ok := raw.FirstLook.parse(r.reporter); ok {
		route.FirstLook = n
	}
	return route
}

// severityOf is the severity of a rule's findings, the most urgent one that they have; "" where that is not known.
func (r *resolver) severityOf(rule string) string {
	if s := r.ruleSettings[rule].Severity; s != "" {
		return s
	}
	return r.options.RuleSeverities[rule]
}

// reaches tells whether findings of a rule can be as urgent as a severity.
func (r *resolver) reaches(rule, severity string) bool {
	own := slices.Index(r.options.Severities, r.severityOf(rule))
	return severity == "" || own < 0 || own <= slices.Index(r.options.Severities, severity)
}

// quiet resolves a part of the day.
func (r *resolver) quiet(raw *rawQuiet) *Quiet {
	q := &Quiet{Zone: time.UTC}
	q.From, _ = raw.From.parse(r.reporter)
	q.To, _ = raw.To.parse(r.reporter)
	if raw.From.given() && raw.From.text == raw.To.text {
		r.report(raw.To.position, "write another time", "is the time at which it begins: it would be quiet all day, or never")
	}
	if z := raw.Zone; z.given() {
		zone, err := time.LoadLocation(z.text)
		if err != nil || z.text == "Local" {
			r.report(z.position, "write a name such as Europe/Berlin, or UTC", "%q is not a time zone", z.text)
		} else {
			q.Zone = zone
		}
	}
	return q
}

func (v clockText) parse(r *reporter) (time.Duration, bool) {
	if !v.given() {
		return 0, false
	}
	t, err := time.Parse("15:04", v.text)
	if err != nil || !matches(clockPattern, v.text) {
		r.report(v.position, "write a time of the day in quotes, such as \"22:00\"", "%q is not a time of the day", v.text)
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}

func (v countText) parse(r *reporter) (int, bool) {
	if !v.given() {
		return 0, false
	}
	if !matches(countPattern, v.text) {
		r.report(v.position, "write a number up to 9999; 0 is no limit", "%q is not a number of messages", v.text)
		return 0, false
	}
	n := 0
	for _, digit := range v.text {
		n = n*10 + int(digit-'0')
	}
	return n, true
}
