package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The configurations below are smallConfig with lines before it, with lines after it (which are the
// grade's), or with a piece of it replaced. Before it is one line, so that the grade's name is on
// line 7 then, on line 6 otherwise.

type badConfig struct {
	name    string
	before  string
	after   string
	replace [2]string
	want    []string
}

func (b badConfig) text(t *testing.T) string {
	t.Helper()
	text := smallConfig
	if b.replace[0] != "" {
		text = strings.Replace(text, b.replace[0], b.replace[1], 1)
		if text == smallConfig {
			t.Fatalf("smallConfig does not hold %q", b.replace[0])
		}
	}
	if b.before != "" {
		text = b.before + "\n" + text
	}
	if b.after != "" {
		text += "        " + b.after + "\n"
	}
	return text
}

func checkBad(t *testing.T, cases []badConfig) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("monitor.yaml", []byte(c.text(t)), testOptions())
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("error is %T: %v", err, err)
			}
			if diff := cmp.Diff(c.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("errors (- want, + have):\n%s", diff)
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	checkBad(t, []badConfig{
		{
			name:   "unknown key",
			before: `databse: x`,
			want:   []string{`monitor.yaml:1:1: databse: unknown key; did you mean "database"?`},
		},
		{
			name:   "unknown key without a neighbour",
			before: `verbosity: 3`,
			want:   []string{`monitor.yaml:1:1: verbosity: unknown key; the keys here are database, trust, indexes, contact, allow_http, budgets, recheck_after, logs, github, projects, rules, schedules, listen, alerts`},
		},
		{
			name:   "unknown key with a line break",
			before: `"a\nb": 3`,
			want:   []string{`monitor.yaml:1:1: ["a\nb"]: unknown key; the keys here are database, trust, indexes, contact, allow_http, budgets, recheck_after, logs, github, projects, rules, schedules, listen, alerts`},
		},
		{
			name:  "unknown key far below",
			after: `trigger: push`,
			want:  []string{`monitor.yaml:12:9: projects[0].grades[0].trigger: unknown key; did you mean "triggers"?`},
		},
		{
			name:   "key of a later version",
			before: `retention: {runs: 400d}`,
			want:   []string{`monitor.yaml:1:1: retention: this version does not have this key yet; remove it`},
		},
		{
			name:   "key of a later version below",
			before: `schedules: {report: "@weekly"}`,
			want:   []string{`monitor.yaml:1:13: schedules.report: this version does not have this key yet; remove it`},
		},
		{
			name: "no schedule and no address",
			before: `schedules: {follow: "@every 1s", audit: "CRON_TZ=Europe/Berlin 0 8 * * *"}
listen: "8080"`,
			want: []string{
				`monitor.yaml:1:21: schedules.follow: "@every 1s": that is more often than every 10s; write "17 * * * *" for 17 minutes past every hour, or "@every 5m"`,
				`monitor.yaml:1:41: schedules.audit: "CRON_TZ=Europe/Berlin 0 8 * * *": schedules are in UTC: leave the time zone out; write "17 * * * *" for 17 minutes past every hour, or "@every 5m"`,
				`monitor.yaml:2:9: listen: "8080" is not HOST:PORT; write 127.0.0.1:8080, or off`,
			},
		},
		{
			name: "key given twice",
			before: `contact: a@example.org
contact: b@example.org`,
			want: []string{`monitor.yaml:2:1: contact: is given twice, first on line 1; keep one of them`},
		},
		{
			name: "key that is a list",
			before: `? [a]
: b`,
			want: []string{`monitor.yaml:1:3: holds a key that is not a name; write a name`},
		},
		{
			name:   "merge key",
			before: `<<: {database: x}`,
			want:   []string{`monitor.yaml:1:1: holds a merge key (<<); write the keys out, or use an alias for a whole value`},
		},
		{
			name:   "no value",
			before: `database:`,
			want:   []string{`monitor.yaml:1:10: database: has no value; give it a value or remove the key`},
		},
		{
			name:   "empty value",
			before: `database: ""`,
			want:   []string{`monitor.yaml:1:11: database: is empty; give it a value or remove the key`},
		},
		{
			name:   "list for a value",
			before: `database: [a]`,
			want:   []string{`monitor.yaml:1:11: database: is a list where one value is expected; write a single value`},
		},
		{
			name:   "value for a list",
			before: `trust: https://example.org`,
			want:   []string{`monitor.yaml:1:8: trust: is a single value where a list is expected; write a list: [a, b]`},
		},
		{
			name:   "value for keys",
			before: `alerts: slack`,
			want:   []string{`monitor.yaml:1:9: alerts: is a single value where keys are expected; write keys and values: {key: value}`},
		},
		{
			name:   "list for keys",
			before: `budgets: [60/min]`,
			want:   []string{`monitor.yaml:1:10: budgets: is a list where keys are expected; write keys and values: {key: value}`},
		},
		{
			name:   "value for keys in a list",
			before: `trust: [https://example.org]`,
			want:   []string{`monitor.yaml:1:9: trust[0]: is a single value where keys are expected; write keys and values: {key: value}`},
		},
		{
			name:   "control character",
			before: `database: "a\0b"`,
			want:   []string{`monitor.yaml:1:11: database: holds a line break or another control character; write it on one line`},
		},
		{
			name:   "tag",
			before: `database: !!binary YQ==`,
			want:   []string{`monitor.yaml:1:11: database: has the YAML tag "!!binary"; remove the tag`},
		},
		{
			name:   "syntax",
			before: `database: a: b`,
			want:   []string{`monitor.yaml:1:12: not YAML: mapping values are not allowed in this context`},
		},
		{
			name:   "tab",
			before: "\tdatabase: a",
			want:   []string{`monitor.yaml:1:1: not YAML: found character that cannot start any token while scanning for the next token`},
		},
		{
			name:   "open bracket",
			before: `allow_http: [a, b`,
			want:   []string{`monitor.yaml:2:9: not YAML: did not find expected ',' or ']' while parsing a flow sequence that begins on line 1`},
		},
		{
			name:   "unknown alias",
			before: `database: *a`,
			want:   []string{`monitor.yaml:1:11: not YAML: unknown anchor 'a' referenced`},
		},
		{
			name:   "raw control character",
			before: "# ä\ndatabase: a\x01b",
			want:   []string{`monitor.yaml:2:12: holds the control character '\x01'; remove it`},
		},
		{
			name:    "empty document",
			replace: [2]string{smallConfig, "# nothing\n---\n"},
			want:    []string{`monitor.yaml: the file is empty; write a configuration, or name no file to use the embedded preset`},
		},
		{
			name:    "empty file",
			replace: [2]string{smallConfig, "# nothing\n"},
			want:    []string{`monitor.yaml: the file is empty; write a configuration, or name no file to use the embedded preset`},
		},
		{
			name:  "syntax error in the second document",
			after: "\n---\n[a",
			want:  []string{`monitor.yaml:15:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence that begins on line 14`},
		},
		{
			name:   "invalid UTF-8",
			before: "database: \xff",
			want:   []string{`monitor.yaml:1:11: the file is not in UTF-8; save the file as UTF-8`},
		},
		{
			name:  "second document",
			after: "\n---\ndatabase: x",
			want:  []string{`monitor.yaml:13:1: a second YAML document begins here; remove it, or the --- before it`},
		},
		{
			name:   "several at once, in order of lines",
			before: `databse: x`, after: `runer: any`, replace: [2]string{"[push]", "[pushed]"},
			want: []string{
				`monitor.yaml:1:1: databse: unknown key; did you mean "database"?`,
				`monitor.yaml:10:20: projects[0].grades[0].triggers[0]: "pushed" is not an event of GitHub's; did you mean "push"?`,
				`monitor.yaml:13:9: projects[0].grades[0].runer: unknown key; did you mean "runner"?`,
			},
		},
	})
}

func TestAliasesCannotMultiplyAFile(t *testing.T) {
	refs := "&r [" + strings.Repeat("refs/heads/main, ", 1000) + "]"
	triggers := "&t [" + strings.Repeat("push, ", 1000) + "]"
	grade := "{name: a, workflow: a.yml, environment: none, refs: %, triggers: §}"
	first := strings.NewReplacer("%", refs, "§", triggers).Replace(grade)
	other := strings.NewReplacer("%", "*r", "§", "*t").Replace(grade)
	text := "projects: [{name: a, pypi: [a], repository: {name: a/b}, grades: [" + first + strings.Repeat(", "+other, 1000) + "]}]"
	_, err := Parse("monitor.yaml", []byte(text), testOptions())
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("error is %T", err)
	}
	for _, one := range all {
		if one.Message == "the file holds more than 100000 values" {
			return
		}
	}
	t.Error("no error tells that the file holds too many values")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(smallConfig))
	f.Add(Preset())
	for _, text := range []string{"", "a: *a", "a: &a [*a]", "projects: &p [*p]", "? {a: b}\n: c", "<<: [*x]", "- - - -", "trust: [{tuf: 'https://[::1]:a'}]"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("monitor.yaml", text, testOptions())
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || c != nil {
				t.Fatalf("error is %T, configuration %v", err, c)
			}
			return
		}
		shown, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("monitor.yaml", shown, testOptions())
		if err != nil {
			t.Fatalf("what is shown is not accepted: %v\n%s", err, shown)
		}
		if c.Hash() != again.Hash() {
			t.Fatalf("what is shown means something else:\n%s", shown)
		}
	})
}
