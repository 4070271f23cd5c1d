package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// The types below are a Config's form in the file, for writing. What is at its default is written
// too, so that it can be seen.

type shownConfig struct {
	Database     string                `yaml:"database"`
	Trust        []shownTrust          `yaml:"trust"`
	Indexes      map[string]shownIndex `yaml:"indexes"`
	Contact      string                `yaml:"contact,omitempty"`
	AllowHTTP    []string              `yaml:"allow_http,flow"`
	Budgets      map[string]string     `yaml:"budgets"`
	RecheckAfter string                `yaml:"recheck_after"`
	Logs         shownLogs             `yaml:"logs"`
	GitHub       shownGitHub           `yaml:"github"`
	shownPolicy  `yaml:",inline"`
	Schedules    shownSchedules `yaml:"schedules"`
	Listen       string         `yaml:"listen"`
	Alerts       *shownAlerts   `yaml:"alerts,omitempty"`
}

// shownPolicy is the part of the configuration that findings depend on.
type shownPolicy struct {
	Projects []shownProject       `yaml:"projects"`
	Rules    map[string]shownRule `yaml:"rules,omitempty"`
}

type shownTrust struct {
	TUF         string `yaml:"tuf,omitempty"`
	RootFile    string `yaml:"root_file,omitempty"`
	Cache       string `yaml:"cache,omitempty"`
	TrustedRoot string `yaml:"trusted_root,omitempty"`
}

type shownIndex struct {
	URL   string   `yaml:"url"`
	Files []string `yaml:"files,omitempty,flow"`
}

type shownProject struct {
	Name           string          `yaml:"name"`
	PyPI           []string        `yaml:"pypi,flow"`
	Issuer         string          `yaml:"issuer"`
	Repository     shownRepository `yaml:"repository"`
	AlsoWatch      *shownAlsoWatch `yaml:"also_watch,omitempty"`
	ExpectRemovals []string        `yaml:"expect_removals,omitempty,flow"`
	Builders       []shownBuilder  `yaml:"builders,omitempty"`
	Claims         []shownClaim    `yaml:"claims,omitempty"`
	Grades         []shownGrade    `yaml:"grades"`
}

type shownRepository struct {
	Name    string `yaml:"name"`
	ID      string `yaml:"id,omitempty"`
	OwnerID string `yaml:"owner_id,omitempty"`
	IDs     string `yaml:"ids,omitempty"`
}

type shownGrade struct {
	Name         string       `yaml:"name"`
	Workflow     string       `yaml:"workflow"`
	Refs         []string     `yaml:"refs,flow"`
	Triggers     []string     `yaml:"triggers,flow"`
	Environment  string       `yaml:"environment"`
	Runner       string       `yaml:"runner"`
	Publishes    []string     `yaml:"publishes,omitempty,flow"`
	PublishSince *shownSince  `yaml:"publish_since,omitempty"`
	SLSASince    *shownSince  `yaml:"slsa_since,omitempty"`
	Expect       *shownExpect `yaml:"expect,omitempty"`
}

type shownSince struct {
	Version  string `yaml:"version,omitempty"`
	Uploaded string `yaml:"uploaded"`
}

type shownRule struct {
	Severity string `yaml:"severity,omitempty"`
	Grace    string `yaml:"grace,omitempty"`
}

// YAML writes the configuration with its defaults, as a file that Parse accepts and that means the
// same. In place of a secret stands where it is kept.
func (c *Config) YAML() ([]byte, error) {
	shown := shownConfig{
		Database:     c.Database,
		Indexes:      make(map[string]shownIndex),
		Contact:      c.Contact,
		AllowHTTP:    c.AllowHTTP,
		Budgets:      make(map[string]string),
		RecheckAfter: durationString(c.RecheckAfter),
		Logs:         showLogs(c.Logs),
		GitHub:       showGitHub(c.GitHub),
		shownPolicy:  c.policy(),
		Schedules:    showSchedules(c.Schedules),
		Listen:       showListen(c.Listen),
		Alerts:       showAlerts(c.Alerts),
	}
	for _, t := range c.Trust {
		shown.Trust = append(shown.Trust, shownTrust(t))
	}
	for _, index := range c.Indexes {
		shown.Indexes[index.Name] = shownIndex{URL: index.URL, Files: index.FileHosts}
	}
	for host, budget := range c.Budgets {
		shown.Budgets[host] = budget.String()
	}
	text, err := yaml.Dump(&shown, yaml.WithV4Defaults(), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("write configuration %s as YAML: %w", c.Source, err)
	}
	return text, nil
}

// Hash names the policy: projects and rules, and nothing else. Two configurations whose findings
// may differ have different hashes; comments, layout and spelt-out defaults do not matter. It is the hex SHA-256
// of a form that this version defines, so another version may give another hash.
func (c *Config) Hash() string {
	text, err := json.Marshal(c.policy())
	if err != nil {
		// Only strings, lists and maps of them are in it, and those always have a JSON form.
		panic(fmt.Sprintf("config: hash the policy: %v", err))
	}
	sum := sha256.Sum256(append([]byte("rekoncile policy 1\n"), text...))
	return hex.EncodeToString(sum[:])
}

func (c *Config) policy() shownPolicy {
	shown := shownPolicy{Rules: make(map[string]shownRule)}
	for _, p := range c.Projects {
		shown.Projects = append(shown.Projects, showProject(p))
	}
	for id, rule := range c.Rules {
		s := shownRule{Severity: rule.Severity}
		if rule.Grace != nil {
			s.Grace = durationString(*rule.Grace)
		}
		shown.Rules[id] = s
	}
	return shown
}

func showProject(p Project) shownProject {
	repository := p.Policy.Repository
	shown := shownProject{
		Name: p.Name, Issuer: p.Policy.Issuer, PyPI: names(p.PyPI), ExpectRemovals: names(p.ExpectRemovals),
		Builders: showBuilders(p.Policy.Builders), Claims: showClaims(p.Claims),
		Repository: shownRepository{Name: repository.Name, ID: repository.ID, OwnerID: repository.OwnerID},
	}
	if repository.ID != "" || repository.OwnerID != "" {
		shown.Repository.IDs = idsConfirmed
		if repository.IDsUnconfirmed {
			shown.Repository.IDs = idsUnconfirmed
		}
	}
	if w := p.AlsoWatch; len(w.Emails)+len(w.Owners)+len(w.KeyFingerprints) > 0 {
		shown.AlsoWatch = new(shownAlsoWatch(w))
	}
	for _, g := range p.Policy.Grades {
		shown.Grades = append(shown.Grades, showGrade(g))
	}
	return shown
}

func showGrade(g identity.Grade) shownGrade {
	shown := shownGrade{
		Name: g.Name, Workflow: g.Workflow, Triggers: g.Triggers, Environment: g.Environment, Runner: g.Runner,
		Publishes: g.Publishes, PublishSince: showSince(g.PublishSince), SLSASince: showSince(g.SLSASince),
		Expect: showExpect(g.Expect),
	}
	for _, ref := range g.Refs {
		shown.Refs = append(shown.Refs, unanchored(ref))
	}
	return shown
}

func showSince(s *identity.Since) *shownSince {
	if s == nil {
		return nil
	}
	return &shownSince{Version: s.Version, Uploaded: dateString(s.Uploaded)}
}

func names(projects []PyPIProject) []string {
	var all []string
	for _, p := range projects {
		all = append(all, p.String())
	}
	return all
}

// anchored and unanchored put a pattern between anchors and take it out again.
func anchored(pattern string) string { return "^(?:" + pattern + ")$" }

func unanchored(ref fmt.Stringer) string {
	return strings.TrimSuffix(strings.TrimPrefix(ref.String(), "^(?:"), ")$")
}
