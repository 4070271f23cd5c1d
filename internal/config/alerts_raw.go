package config

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

type rawAlerts struct {
	At            position            `yaml:"-"`
	Slack         *rawSlack           `yaml:"slack" jsonschema_description:"A Slack channel that is told everything: the short way to write a channel named slack."`
	Channels      entries[rawChannel] `yaml:"channels" jsonschema_description:"Channels by name, each with its kind and with what it is told."`
	HeartbeatFile pathText            `yaml:"heartbeat_file" jsonschema_description:"Path of a file that holds a URL which is called (GET) after each pass that was proven, and only then. Either this or heartbeat."`
	Heartbeat     secretText          `yaml:"heartbeat" jsonschema_description:"The environment variable that holds that URL, as \"${VARIABLE}\"."`
}

type rawChannel struct {
	At          position         `yaml:"-"`
	Slack       *rawSlack        `yaml:"slack" jsonschema_description:"A Slack channel, by incoming webhook, or by a bot's token with one thread a finding."`
	Webhook     *rawWebhook      `yaml:"webhook" jsonschema_description:"A receiver of JSON, signed as Standard Webhooks says."`
	Email       *rawEmail        `yaml:"email" jsonschema_description:"Mail through an SMTP server."`
	GitHub      *rawGitHubIssues `yaml:"github" jsonschema_description:"Issues in a repository on GitHub, one a finding."`
	Teams       *rawTeams        `yaml:"teams" jsonschema_description:"A webhook of the Workflows app of Microsoft Teams."`
	Service     *rawService      `yaml:"service" jsonschema_description:"A service by URL, such as ntfy, Matrix, Discord, Telegram, PagerDuty or Opsgenie."`
	Log         *rawLogFile      `yaml:"log" jsonschema_description:"A file to which alerts are appended, one JSON object a line."`
	MinSeverity severityText     `yaml:"min_severity" jsonschema_description:"The least urgent severity that the channel is told of; all where left out. Of what it was told it is told the end, however urgent."`
	Projects    []nameText       `yaml:"projects" jsonschema:"minItems=1" example:"projects: [onnx]" jsonschema_description:"The configured projects that the channel is told of; all where left out. What is about a log or the monitor itself is told in any case."`
	Rules       []ruleNameText   `yaml:"rules" jsonschema:"minItems=1" example:"rules: [no-provenance]" jsonschema_description:"The rules whose findings the channel is told of; all where left out."`
	Quiet       *rawQuiet        `yaml:"quiet" jsonschema_description:"When the channel is told only of what is critical. The rest waits."`
	Hourly      countText        `yaml:"hourly" jsonschema_description:"How many messages the channel is sent in an hour; a digest gathers what goes beyond. 30 by default, 0 for no limit."`
	FirstLook   countText        `yaml:"first_look" jsonschema_description:"The number of messages about a project's history above which the first pass sends one summary instead. 10 by default, 0 for never."`
}

type rawSlack struct {
	At          position     `yaml:"-"`
	WebhookFile pathText     `yaml:"webhook_file" jsonschema_description:"Path of a file that holds the URL of an incoming webhook. Either this, webhook or a token."`
	Webhook     secretText   `yaml:"webhook" jsonschema_description:"The environment variable that holds the webhook's URL, as \"${VARIABLE}\"."`
	TokenFile   pathText     `yaml:"token_file" jsonschema_description:"Path of a file that holds a bot's token (xoxb-…), with the scopes chat:write and, to tell what has arrived, channels:history."`
	Token       secretText   `yaml:"token" jsonschema_description:"The environment variable that holds the bot's token, as \"${VARIABLE}\"."`
	Channel     slackChanTxt `yaml:"channel" jsonschema_description:"Where the bot posts: the channel's id, or its name with #. The bot must be a member."`
	API         urlText      `yaml:"api" jsonschema_description:"Slack's API, instead of https://slack.com/api."`

	AppTokenFile  pathText        `yaml:"app_token_file" jsonschema_description:"Path of a file that holds the app's token (xapp-…) with the scope connections:write: messages have buttons then, which monitor run hears of through Socket Mode."`
	AppToken      secretText      `yaml:"app_token" jsonschema_description:"The environment variable that holds the app's token, as \"${VARIABLE}\"."`
	Acknowledgers []slackUserText `yaml:"acknowledgers" jsonschema:"minItems=1" example:"acknowledgers: [U0123456789]" jsonschema_description:"The ids of the users whose presses count; of everybody in the channel where left out."`
}

type rawWebhook struct {
	At      position   `yaml:"-"`
	URLFile pathText   `yaml:"url_file" jsonschema_description:"Path of a file that holds the receiver's URL. Either this or url."`
	URL     secretText `yaml:"url" jsonschema_description:"The environment variable that holds the receiver's URL, as \"${VARIABLE}\"."`
	KeyFile pathText   `yaml:"key_file" jsonschema_description:"Path of a file that holds the signing key, whsec_ and base64 of 24 to 64 bytes. Either this or key."`
	Key     secretText `yaml:"key" jsonschema_description:"The environment variable that holds the signing key, as \"${VARIABLE}\"."`
}

type rawEmail struct {
	At           position    `yaml:"-"`
	Server       hostText    `yaml:"server" jsonschema:"required" example:"server: smtp.example.org:587" jsonschema_description:"The SMTP server, HOST:PORT."`
	TLS          tlsText     `yaml:"tls" jsonschema_description:"starttls (required of the server), implicit, or none on loopback; starttls by default."`
	From         emailText   `yaml:"from" jsonschema:"required" example:"from: monitor@example.org" jsonschema_description:"The sender."`
	To           []emailText `yaml:"to" jsonschema:"required,minItems=1" example:"to: [security@example.org]" jsonschema_description:"The recipients."`
	User         userText    `yaml:"user" jsonschema_description:"The user name for the server, where it asks for one."`
	PasswordFile pathText    `yaml:"password_file" jsonschema_description:"Path of a file that holds the password. Either this or password."`
	Password     secretText  `yaml:"password" jsonschema_description:"The environment variable that holds the password, as \"${VARIABLE}\"."`
}

type rawGitHubIssues struct {
	At         position       `yaml:"-"`
	Repository repositoryText `yaml:"repository" jsonschema:"required" example:"repository: OWNER/NAME" jsonschema_description:"The repository whose issues are opened. A private one, where findings are nobody else's business."`
	TokenFile  pathText       `yaml:"token_file" jsonschema_description:"Path of a file that holds a token that may write issues. Either this or token."`
	Token      secretText     `yaml:"token" jsonschema_description:"The environment variable that holds the token, as \"${VARIABLE}\"."`
	API        urlText        `yaml:"api" jsonschema_description:"GitHub's API, instead of https://api.github.com."`
}

type rawTeams struct {
	At      position   `yaml:"-"`
	URLFile pathText   `yaml:"url_file" jsonschema_description:"Path of a file that holds the webhook's URL. Either this or url."`
	URL     secretText `yaml:"url" jsonschema_description:"The environment variable that holds the webhook's URL, as \"${VARIABLE}\"."`
}

type rawService struct {
	At      position   `yaml:"-"`
	URLFile pathText   `yaml:"url_file" jsonschema_description:"Path of a file that holds the service's URL, as shoutrrr writes it (ntfy://ntfy.sh/topic). Either this or url."`
	URL     secretText `yaml:"url" jsonschema_description:"The environment variable that holds the service's URL, as \"${VARIABLE}\"."`
}

type rawLogFile struct {
	At   position `yaml:"-"`
	File pathText `yaml:"file" jsonschema:"required" example:"file: alerts.jsonl" jsonschema_description:"Path of the file; - for standard error."`
}

type rawQuiet struct {
	At   position  `yaml:"-"`
	From clockText `yaml:"from" jsonschema:"required" example:"from: \"22:00\"" jsonschema_description:"When it begins, in quotes."`
	To   clockText `yaml:"to" jsonschema:"required" example:"to: \"07:00\"" jsonschema_description:"When it ends, in quotes; the next day where that is before its beginning."`
	Zone zoneText  `yaml:"zone" jsonschema_description:"The time zone, such as Europe/Berlin; UTC by default."`
}

type (
	ruleNameText struct{ word }
	userText     struct{ word }
)

// parse returns the name as it is: whether there is such a rule is checked where routes are.
func (v ruleNameText) parse(*reporter) (string, bool) { return v.text, v.given() }

// sortedKeys are the keys of a map, in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// The types below are a Config's form in the file, for writing.

type shownAlerts struct {
	Slack         *shownSlack             `yaml:"slack,omitempty"`
	Channels      map[string]shownChannel `yaml:"channels,omitempty"`
	HeartbeatFile string                  `yaml:"heartbeat_file,omitempty"`
	Heartbeat     string                  `yaml:"heartbeat,omitempty"`
}

type shownChannel struct {
	Slack       *shownSlack        `yaml:"slack,omitempty"`
	Webhook     *shownWebhook      `yaml:"webhook,omitempty"`
	Email       *shownEmail        `yaml:"email,omitempty"`
	GitHub      *shownGitHubIssues `yaml:"github,omitempty"`
	Teams       *shownService      `yaml:"teams,omitempty"`
	Service     *shownService      `yaml:"service,omitempty"`
	Log         *shownLogFile      `yaml:"log,omitempty"`
	MinSeverity string             `yaml:"min_severity,omitempty"`
	Projects    []string           `yaml:"projects,omitempty,flow"`
	Rules       []string           `yaml:"rules,omitempty,flow"`
	Quiet       *shownQuietHours   `yaml:"quiet,omitempty,flow"`
	Hourly      int                `yaml:"hourly"`
	FirstLook   int                `yaml:"first_look"`
}

type shownSlack struct {
	WebhookFile string `yaml:"webhook_file,omitempty"`
	Webhook     string `yaml:"webhook,omitempty"`
	TokenFile   string `yaml:"token_file,omitempty"`
	Token       string `yaml:"token,omitempty"`
	Channel     string `yaml:"channel,omitempty"`
	API         string `yaml:"api,omitempty"`

	AppTokenFile  string   `yaml:"app_token_file,omitempty"`
	AppToken      string   `yaml:"app_token,omitempty"`
	Acknowledgers []string `yaml:"acknowledgers,omitempty,flow"`
}

type shownWebhook struct {
	URLFile string `yaml:"url_file,omitempty"`
	URL     string `yaml:"url,omitempty"`
	KeyFile string `yaml:"key_file,omitempty"`
	Key     string `yaml:"key,omitempty"`
}

type shownEmail struct {
	Server       string   `yaml:"server"`
	TLS          string   `yaml:"tls"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to,flow"`
	User         string   `yaml:"user,omitempty"`
	PasswordFile string   `yaml:"password_file,omitempty"`
	Password     string   `yaml:"password,omitempty"`
}

type shownGitHubIssues struct {
	Repository string `yaml:"repository"`
	TokenFile  string `yaml:"token_file,omitempty"`
	Token      string `yaml:"token,omitempty"`
	API        string `yaml:"api,omitempty"`
}

type shownService struct {
	URLFile string `yaml:"url_file,omitempty"`
	URL     string `yaml:"url,omitempty"`
}

type shownLogFile struct {
	File string `yaml:"file"`
}

type shownQuietHours struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
	Zone string `yaml:"zone"`
}

// shown is where a secret is kept, as its pair of keys: the file, or the reference to the variable.
func (s Secret) shown() (file, reference string) {
	if s.variable != "" {
		return "", "${" + s.variable + "}"
	}
	return s.file, ""
}

func showAlerts(a Alerts) *shownAlerts {
	if a.Slack == nil && len(a.Channels) == 0 && a.Heartbeat == nil {
		return nil
	}
	shown := &shownAlerts{Slack: showSlack(a.Slack), Channels: map[string]shownChannel{}}
	if a.Heartbeat != nil {
		shown.HeartbeatFile, shown.Heartbeat = a.Heartbeat.shown()
	}
	for _, c := range a.Channels {
		shown.Channels[c.Name] = showChannel(c)
	}
	return shown
}

func showSlack(s *Slack) *shownSlack {
	if s == nil {
		return nil
	}
	shown := &shownSlack{Channel: s.Channel, API: s.API, Acknowledgers: s.Acknowledgers}
	shown.WebhookFile, shown.Webhook = s.Webhook.shown()
	shown.TokenFile, shown.Token = s.Token.shown()
	if s.AppToken != nil {
		shown.AppTokenFile, shown.AppToken = s.AppToken.shown()
	}
	return shown
}

func showChannel(c Channel) shownChannel {
	shown := shownChannel{Slack: showSlack(c.Slack), MinSeverity: c.MinSeverity, Projects: c.Projects, Rules: c.Rules,
		Hourly: c.Hourly, FirstLook: c.FirstLook}
	if w := c.Webhook; w != nil {
		shown.Webhook = &shownWebhook{}
		shown.Webhook.URLFile, shown.Webhook.URL = w.URL.shown()
		shown.Webhook.KeyFile, shown.Webhook.Key = w.Key.shown()
	}
	if e := c.Email; e != nil {
		shown.Email = &shownEmail{Server: e.Server, TLS: e.TLS, From: e.From, To: e.To, User: e.User}
		if e.Password != nil {
			shown.Email.PasswordFile, shown.Email.Password = e.Password.shown()
		}
	}
	if g := c.GitHub; g != nil {
		shown.GitHub = &shownGitHubIssues{Repository: g.Repository, API: g.API}
		shown.GitHub.TokenFile, shown.GitHub.Token = g.Token.shown()
	}
	if t := c.Teams; t != nil {
		shown.Teams = &shownService{}
		shown.Teams.URLFile, shown.Teams.URL = t.URL.shown()
	}
	if s := c.Service; s != nil {
		shown.Service = &shownService{}
		shown.Service.URLFile, shown.Service.URL = s.URL.shown()
	}
	if l := c.Log; l != nil {
		shown.Log = &shownLogFile{File: l.Path}
		if l.Path == "" {
			shown.Log.File = "-"
		}
	}
	if q := c.Quiet; q != nil {
		shown.Quiet = &shownQuietHours{From: clockString(q.From), To: clockString(q.To), Zone: q.Zone.String()}
	}
	return shown
}

// clockString writes a time of the day.
func clockString(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}
