package config

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// What a configuration holds that does not say otherwise.
const (
	defaultDatabase     = "monitor.db"
	defaultTUF          = "https://tuf-repo-cdn.sigstore.dev"
	defaultRecheckAfter = 168 * time.Hour
	minRecheckAfter     = time.Minute
	maxGrace            = 30 * day
)

func defaultIndexes() []Index {
	return []Index{
		{Name: "pypi", URL: "https://pypi.org", FileHosts: []string{"files.pythonhosted.org"}},
		{Name: "testpypi", URL: "https://test.pypi.org", FileHosts: []string{"test-files.pythonhosted.org"}},
	}
}

// defaultBudgets are what the operators of these services will not notice.
func defaultBudgets() map[string]Budget {
	return map[string]Budget{
		"pypi.org":           {Requests: 60, Per: time.Minute},
		"test.pypi.org":      {Requests: 60, Per: time.Minute},
		"rekor.sigstore.dev": {Requests: 60, Per: time.Minute},
		"ctfe.sigstore.dev":  {Requests: 60, Per: time.Minute},
	}
}

// resolver turns the file's form into a Config.
type resolver struct {
	*reporter
	options Options
	folder  string // that relative paths start at; "" leaves them as they are
	indexes []string
	// projects and shipped are where each project's name and each index project was first given.
	projects, shipped map[string]int
	// ruleSettings are those of Config.Rules.
	ruleSettings map[string]RuleSetting
}

func (r *resolver) config(raw *rawConfig) *Config {
	r.projects, r.shipped = make(map[string]int), make(map[string]int)
	c := &Config{
		AllowHTTP:    distinct(r, raw.AllowHTTP),
		Budgets:      r.budgets(raw.Budgets),
		RecheckAfter: defaultRecheckAfter,
		Rules:        r.rules(raw.Rules),
	}
	if !raw.Database.given() {
		raw.Database.text = defaultDatabase
	}
	c.Database = r.path(raw.Database)
	c.Trust = r.trust(raw.Trust, c.AllowHTTP)
	c.Indexes = r.resolveIndexes(raw.Indexes, c.AllowHTTP)
	for _, index := range c.Indexes {
		r.indexes = append(r.indexes, index.Name)
	}
	c.Logs = r.logs(raw.Logs, c.AllowHTTP)
	c.GitHub = r.github(raw.GitHub, c.AllowHTTP)
	c.Budgets = withGitHub(c.Budgets, c.GitHub)
	c.Contact, _ = raw.Contact.parse(r.reporter)
	if d, ok := raw.RecheckAfter.parse(r.reporter); ok {
		if d < minRecheckAfter {
			r.report(raw.RecheckAfter.position, "write a duration such as 168h", "is shorter than %s", durationString(minRecheckAfter))
		}
		c.RecheckAfter = d
	}
	for _, project := range raw.Projects {
		c.Projects = append(c.Projects, r.project(project))
	}
	c.Schedules, c.Listen = r.schedules(raw.Schedules), raw.Listen.parse(r.reporter)
	r.ruleSettings = c.Rules
	c.Alerts = r.alerts(raw.Alerts, c.AllowHTTP)
	return c
}

// distinct parses a list, and reports what stands in it twice.
func distinct[T interface {
	parse(r *reporter) (string, bool)
	at() position
}](r *resolver, list []T) []string {
	var all []string
	for _, item := range list {
		text, ok := item.parse(r.reporter)
		switch {
		case !ok:
		case slices.ContainsFunc(all, func(x string) bool { return strings.EqualFold(x, text) }):
			r.report(item.at(), "remove it", "%q is listed twice", text)
		default:
			all = append(all, text)
		}
	}
	return all
}

func (r *resolver) budgets(raw entries[rateText]) map[string]Budget {
	budgets := defaultBudgets()
	lines := make(map[string]int)
	for _, item := range raw {
		host, hostOK := item.key.host(r.reporter)
		budget, ok := item.value.parse(r.reporter)
		if !ok || !hostOK {
			continue
		}
		if first, twice := lines[host]; twice {
			r.report(item.key.position, "keep one of them", "%q is given twice, first on line %d", host, first)
		}
		lines[host] = item.key.line
		budgets[host] = budget
	}
	return budgets
}

func (r *resolver) rules(raw entries[rawRule]) map[string]RuleSetting {
	rules := make(map[string]RuleSetting)
	for _, item := range raw {
		if !slices.Contains(r.options.Rules, item.key.text) {
			r.report(item.key.position, suggest(item.key.text, slices.Sorted(slices.Values(r.options.Rules))), "unknown rule")
			continue
		}
		var setting RuleSetting
		if severity := item.value.Severity; severity.given() {
			if !slices.Contains(r.options.Severities, severity.text) {
				r.report(severity.position, suggest(severity.text, r.options.Severities), "%q is not a severity", severity.text)
			}
			setting.Severity = severity.text
		}
		if grace, ok := item.value.Grace.parse(r.reporter); ok {
			if grace > maxGrace {
				r.report(item.value.Grace.position, "write at most 30d", "%q is longer than 30 days", item.value.Grace.text)
			}
			setting.Grace = &grace
		}
		rules[item.key.text] = setting
	}
	return rules
}

func (r *resolver) trust(raw []rawTrust, allowHTTP []string) []TrustSource {
	if len(raw) == 0 {
		return []TrustSource{{TUF: defaultTUF}}
	}
	var sources []TrustSource
	lines := make(map[string]int)
	for _, item := range raw {
		source := TrustSource{RootFile: r.path(item.RootFile), Cache: r.path(item.Cache), TrustedRoot: r.path(item.TrustedRoot)}
		source.TUF, _ = item.TUF.parse(r.reporter, allowHTTP)
		switch {
		case item.TUF.present() && item.TrustedRoot.present():
			r.report(item.TrustedRoot.position, "list it as a source of its own", "stands beside tuf")
		case item.TrustedRoot.present() && (item.RootFile.present() || item.Cache.present()):
			r.report(item.TrustedRoot.position, "remove root_file and cache, or name the repository with tuf", "stands beside root_file or cache, which only tuf has a use for")
		case !item.TUF.present() && !item.TrustedRoot.present() && item.At.line > 0:
			r.report(item.At, "give tuf: URL or trusted_root: PATH", "names no source")
		}
		for _, place := range []string{source.TUF, source.TrustedRoot} {
			if first, twice := lines[place]; twice && place != "" {
				r.report(item.At, "keep one of them", "%s is listed twice, first on line %d", place, first)
			}
			lines[place] = item.At.line
		}
		sources = append(sources, source)
	}
	return sources
}

// resolveIndexes joins the file's indexes with the known ones.
func (r *resolver) resolveIndexes(raw entries[rawIndex], allowHTTP []string) []Index {
	indexes := make(map[string]Index)
	for _, index := range defaultIndexes() {
		indexes[index.Name] = index
	}
	for _, item := range raw {
		index, known := indexes[item.key.text]
		switch {
		case !known && !matches(indexPattern, item.key.text):
			r.report(item.key.position, "use small letters, digits and dashes", "%q is not a name for an index", item.key.text)
		case !known && !item.value.URL.present() && item.value.At.line > 0:
			r.report(item.value.At.child("url"), "write for example url: https://pypi.example.org", "missing")
		}
		index.Name = item.key.text
		if url, ok := item.value.URL.parse(r.reporter, allowHTTP); ok {
			// Another server's files are not where the known index has them.
			index.URL, index.FileHosts = url, nil
		}
		if item.value.Files != nil {
			index.FileHosts = distinct(r, item.value.Files)
		}
		indexes[index.Name] = index
	}
	for _, item := range raw {
		url := indexes[item.key.text].URL
		for name, other := range indexes {
			// Each pair is reported once, at the index whose name comes second or that is in the file.
			_, inFile := raw.find(name)
			if url != "" && other.URL == url && name != item.key.text && (name < item.key.text || !inFile) {
				r.report(item.key.position, "use one name for it", "has the URL of the index %q", name)
			}
		}
	}
	return slices.SortedFunc(maps.Values(indexes), func(a, b Index) int { return strings.Compare(a.Name, b.Name) })
}

// find returns the value of a key.
func (e entries[T]) find(key string) (T, bool) {
	for _, item := range e {
		if item.key.text == key {
			return item.value, true
		}
	}
	var none T
	return none, false
}
