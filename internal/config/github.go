package config

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// GitHub is how GitHub's API is read.
type GitHub struct {
	// API is its URL, without a trailing slash.
	API string
	// Blobs are the hosts that bundles may be fetched from: HOST, HOST:PORT, or *.DOMAIN.
	Blobs []string
	// Token is sent to the API; nil where none is configured.
	Token *Secret
	// Attestations says whether repositories' attestation stores are read, Runs whether workflow runs are looked up.
	Attestations, Runs bool
}

const (
	defaultGitHubAPI   = "https://api.github.com"
	defaultGitHubBlobs = "*.blob.core.windows.net"
	blobPattern        = `^(\*\.)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`
)

// What switches hold.
const (
	switchOn  = "on"
	switchOff = "off"
)

type (
	switchText struct{ word }
	blobText   struct{ word }
)

type rawGitHub struct {
	At           position   `yaml:"-"`
	API          urlText    `yaml:"api" jsonschema_description:"URL of the REST API; https://api.github.com by default."`
	Blobs        []blobText `yaml:"blobs" jsonschema_description:"Hosts that the store may have bundles on: HOST, HOST:PORT, or *.DOMAIN for all below a domain; *.blob.core.windows.net by default."`
	TokenFile    pathText   `yaml:"token_file" jsonschema_description:"Path of a file that holds a token, which needs no scope for public repositories. Without one, GitHub answers 60 requests an hour. Either this or token."`
	Token        secretText `yaml:"token" jsonschema_description:"The environment variable that holds the token, as \"${VARIABLE}\". Either this or token_file."`
	Attestations switchText `yaml:"attestations" jsonschema_description:"Whether the repositories' attestation stores are read: on or off; on by default."`
	Runs         switchText `yaml:"runs" jsonschema_description:"Whether the workflow runs that all certificates name are looked up: on or off; off by default. Needs a token. The run of a job that signed what nothing accounts for is looked up in any case."`
}

// parse returns whether a switch is on, if it is either.
func (v switchText) parse(r *reporter) (on, ok bool) {
	switch {
	case !v.given():
		return false, false
	case v.text != switchOn && v.text != switchOff:
		r.report(v.position, "write on or off", "%q is neither", v.text)
		return false, false
	}
	return v.text == switchOn, true
}

// parse returns a host, or the domain that it is below, in lower case.
func (v blobText) parse(r *reporter) (string, bool) {
	below, wild := strings.CutPrefix(v.text, "*.")
	if wild && (!strings.Contains(below, ".") || strings.HasPrefix(below, ".") || strings.HasSuffix(below, ".")) {
		r.report(v.position, "write a host, or *.DOMAIN with a domain of one's own such as *.blob.core.windows.net", "%q is not the hosts below a domain", v.text)
		return "", false
	}
	host := v.word
	host.text = below
	text, ok := host.host(r)
	if wild {
		text = "*." + text
	}
	return text, ok
}

// github resolves the github mapping; nil is one that is not there.
func (r *resolver) github(raw *rawGitHub, allowHTTP []string) GitHub {
	g := GitHub{API: defaultGitHubAPI, Blobs: []string{defaultGitHubBlobs}, Attestations: true}
	if raw == nil {
		return g
	}
	if api, ok := raw.API.parse(r.reporter, allowHTTP); ok {
		g.API = api
	}
	if raw.Blobs != nil {
		g.Blobs = distinct(r, raw.Blobs)
	}
	if raw.TokenFile.present() || raw.Token.present() {
		g.Token = new(r.secret(raw.At, "token", raw.TokenFile, raw.Token))
	}
	if on, ok := raw.Attestations.parse(r.reporter); ok {
		g.Attestations = on
	}
	if on, ok := raw.Runs.parse(r.reporter); ok {
		g.Runs = on
	}
	if g.Runs && !g.Attestations {
		r.report(raw.Runs.position, "switch attestations on, or runs off", "runs are looked up only where attestations are")
	}
	if g.Runs && g.Token == nil {
		r.report(raw.Runs.position, "give token_file or token, or switch runs off", "%q cannot be looked up without a token, for want of requests", raw.Runs.text)
	}
	return g
}

// withGitHub gives the API's host its budget where the configuration gives it none: GitHub answers 60 requests an hour to
// anybody, and 5,000 to whoever shows a token.
func withGitHub(budgets map[string]Budget, g GitHub) map[string]Budget {
	u, err := url.Parse(g.API)
	if err != nil {
		return budgets
	}
	host := strings.ToLower(u.Host)
	if _, given := budgets[host]; !given && g.API == defaultGitHubAPI {
		budgets[host] = Budget{Requests: 60, Per: time.Hour}
		if g.Token != nil {
			budgets[host] = Budget{Requests: 2000, Per: time.Hour}
		}
	}
	return budgets
}

type shownGitHub struct {
	API          string   `yaml:"api"`
	Blobs        []string `yaml:"blobs,flow"`
	TokenFile    string   `yaml:"token_file,omitempty"`
	Token        string   `yaml:"token,omitempty"`
	Attestations string   `yaml:"attestations"`
	Runs         string   `yaml:"runs"`
}

func showGitHub(g GitHub) shownGitHub {
	shown := shownGitHub{API: cmp.Or(g.API, defaultGitHubAPI), Blobs: slices.Clone(g.Blobs), Attestations: switchOff, Runs: switchOff}
	if g.Attestations {
		shown.Attestations = switchOn
	}
	if g.Runs {
		shown.Runs = switchOn
	}
	if g.Token != nil {
		shown.TokenFile = g.Token.file
		if g.Token.variable != "" {
			shown.Token = "${" + g.Token.variable + "}"
		}
	}
	return shown
}
