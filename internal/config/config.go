// Package config turns one YAML file into a Config whose every value has been checked.
//
// It promises that a Config holds no unknown key, no value of a wrong shape and no combination that
// cannot work; that everything wrong with a file is reported at once, each error with its line, its
// key and what to write instead; that relative paths have been resolved; and that no secret is ever
// printed, stored or hashed.
//
// It does not look at anything outside the file: whether a path exists, a host answers or a secret
// can be read is found out by whoever uses it.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/configs"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// PresetSource is the Source of a Config that came from no file.
const PresetSource = "embedded preset"

// maxFileSize bounds the configuration's text, in bytes. A project takes about 2 kB.
const maxFileSize = 1 << 20

// Config is a whole configuration, checked and with its defaults filled in.
type Config struct {
	// Source is the file's name as it was given, or PresetSource.
	Source string
	// Database is the path of the record.
	Database string
	// Trust lists where trusted roots come from; never empty.
	Trust []TrustSource
	// Indexes are the package indexes, sorted by name; "pypi" and "testpypi" are always among them.
	Indexes []Index
	// Contact goes into the user agent: an https URL or an e-mail address, or "" where not set.
	Contact string
	// AllowHTTP are the hosts (HOST or HOST:PORT) that may be spoken to in plain http. Loopback
	// addresses may be, whatever stands here.
	AllowHTTP []string
	// Budgets are the requests allowed for each host (HOST or HOST:PORT).
	Budgets map[string]Budget
	// Logs are the transparency logs to follow.
	Logs Logs
	// GitHub is how GitHub's API is read.
	GitHub GitHub
	// RecheckAfter is the age at which a provenance document is asked for again; above zero.
	RecheckAfter time.Duration
	// Projects are what is watched; never empty.
	Projects []Project
	// Rules are what was set for each rule, by rule id; a rule that is not here has its defaults.
	Rules map[string]RuleSetting
	// Schedules say when the daemon does what.
	Schedules Schedules
	// Listen is where the daemon answers for its health, HOST:PORT; "" for nowhere.
	Listen string
	// Alerts are the channels that findings are sent through.
	Alerts Alerts
}

// Index returns the package index of that name, and whether there is one.
func (c *Config) Index(name string) (Index, bool) {
	i := slices.IndexFunc(c.Indexes, func(x Index) bool { return x.Name == name })
	if i < 0 {
		return Index{}, false
	}
	return c.Indexes[i], true
}

// TrustSource is one place that a trusted root comes from: either TUF or TrustedRoot is set.
type TrustSource struct {
	// TUF is the URL of a TUF repository, without a trailing slash.
	TUF string
	// RootFile is the path of the repository's initial root.json; "" for the built-in one.
	RootFile string
	// Cache is the folder for the repository's metadata; "" for the default one.
	Cache string
	// TrustedRoot is the path of a trusted_root.json, for use without a network.
	TrustedRoot string
}

// Index is a package index with PyPI's interfaces.
type Index struct {
	// Name is what the configuration calls it, such as "pypi".
	Name string
	// URL is where /simple/ and /integrity/ are found, without a trailing slash.
	URL string
	// FileHosts are the hosts (HOST or HOST:PORT) besides the URL's own that files may come from.
	FileHosts []string
}

// Budget is how often a host may be asked: Requests in each Per.
type Budget struct {
	Requests int
	Per      time.Duration
}

// Project is one software project: what it ships and who may sign it.
type Project struct {
	// Name is unique among the projects.
	Name string
	// PyPI are the index projects that it ships; never empty.
	PyPI []PyPIProject
	// Policy says who may sign in the project's name, and for what.
	Policy identity.Policy
	// AlsoWatch are further names that the logs are searched for.
	AlsoWatch AlsoWatch
	// ExpectRemovals are those of PyPI whose releases are removed on purpose.
	ExpectRemovals []PyPIProject
	// Claims are what the project says of its releases.
	Claims []Claim
}

// PyPIProject is a project on a package index.
type PyPIProject struct {
	// Index is the name of one of the configuration's indexes.
	Index string
	// Name is normalised as PEP 503 says.
	Name string
}

// String returns "INDEX/NAME", which is how identity.Grade names what it publishes.
func (p PyPIProject) String() string { return p.Index + "/" + p.Name }

// RuleSetting is what the configuration changes about a rule.
type RuleSetting struct {
	// Severity replaces the rule's own; "" leaves it.
	Severity string
	// Grace replaces the time for which the rule waits; nil leaves it.
	Grace *time.Duration
}

// Options are what the configuration cannot know by itself.
type Options struct {
	// Rules are the ids of the rules that may be set.
	Rules []string
	// Severities are the severities that a rule may be given, most urgent first.
	Severities []string
	// RuleSeverities are the severities that rules have by default; one that is not here may have any.
	RuleSeverities map[string]string
	// Getenv looks up the variables that secrets name; nil is os.Getenv.
	Getenv func(string) string
}

// Load reads and checks the configuration file at path; an empty path is the embedded preset.
// What is wrong with the text comes back as Errors, what is wrong with the file as a plain error.
func Load(path string, o Options) (*Config, error) {
	if path == "" {
		// The preset belongs to no folder: its paths are those of whoever runs the command.
		return parse(PresetSource, "", Preset(), o)
	}
	text, err := readCapped(path, maxFileSize)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w; name another file, or none for the embedded preset", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text, o)
}

// Parse checks a configuration's text. The name stands in errors and in Source, and the paths in
// the text are relative to its folder. All errors are Errors, unless that folder cannot be told.
func Parse(name string, text []byte, o Options) (*Config, error) {
	folder, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("find the folder of configuration %s: %w", name, err)
	}
	return parse(name, folder, text, o)
}

func parse(name, folder string, text []byte, o Options) (*Config, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	report := &reporter{file: name}
	raw := decodeText(report, text)
	if raw == nil {
		return nil, report.all()
	}
	r := &resolver{reporter: report, options: o, folder: folder}
	c := r.config(raw)
	c.Source = name
	if err := report.all(); err != nil {
		return nil, err
	}
	return c, nil
}

// Preset returns the text of the embedded configuration, the one that Load takes for no file.
func Preset() []byte { return configs.Preset() }

// Schema returns the JSON Schema (draft 2020-12) of the configuration file.
func Schema() []byte { return configs.Schema() }

// readCapped reads a file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	n, err := io.Copy(&text, io.LimitReader(f, limit+1))
	err = cmp.Or(err, f.Close())
	if err == nil && n > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	if err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}
