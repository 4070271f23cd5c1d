package config

import (
	"strings"
	"testing"
)

func TestBadProjects(t *testing.T) {
	checkBad(t, []badConfig{
		{
			name:    "no projects",
			replace: [2]string{smallConfig, "projects: []\n"},
			want:    []string{`monitor.yaml:1:11: projects: is empty; write for example projects: [{name: …, pypi: […], repository: {…}, grades: […]}]`},
		},
		{
			name:    "projects left out",
			replace: [2]string{smallConfig, "database: x\n"},
			want:    []string{`monitor.yaml:1:1: projects: missing; write for example projects: [{name: …, pypi: […], repository: {…}, grades: […]}]`},
		},
		{
			name:    "project without anything",
			replace: [2]string{smallConfig, "projects: [{}]\n"},
			want: []string{
				`monitor.yaml:1:12: projects[0].name: missing; write for example name: my-project`,
				`monitor.yaml:1:12: projects[0].pypi: missing; write for example pypi: [my-package]`,
				`monitor.yaml:1:12: projects[0].repository: missing; write for example repository: {name: OWNER/NAME}`,
				`monitor.yaml:1:12: projects[0].grades: missing; write for example grades: [{name: release, workflow: …, refs: […], triggers: […], environment: …, publishes: …}]`,
			},
		},
		{
			name:    "project name",
			replace: [2]string{"name: widget", "name: my widget"},
			want:    []string{`monitor.yaml:2:11: projects[0].name: "my widget" is not a name; use letters, digits, dots, dashes and underscores`},
		},
		{
			name:    "project twice",
			replace: [2]string{smallConfig, smallConfig + strings.TrimPrefix(smallConfig, "projects:\n")},
			want: []string{
				`monitor.yaml:12:11: projects[1].name: "widget" is the name of the project on line 2; give each project its own name`,
				`monitor.yaml:13:12: projects[1].pypi[0]: pypi/widget is listed twice, first on line 3; keep one of them`,
			},
		},
		{
			name:    "repository as URL",
			replace: [2]string{"example/widget", "https://github.com/example/widget.git"},
			want:    []string{`monitor.yaml:4:24: projects[0].repository.name: "https://github.com/example/widget.git" is not a repository's name; write example/widget`},
		},
		{
			name:    "repository without owner",
			replace: [2]string{"example/widget", "widget"},
			want:    []string{`monitor.yaml:4:24: projects[0].repository.name: "widget" is not a repository's name; write OWNER/NAME`},
		},
		{
			name:    "id that is no number",
			replace: [2]string{"example/widget", "example/widget, id: 0x10"},
			want:    []string{`monitor.yaml:4:44: projects[0].repository.id: "0x10" is not a decimal id; write the number that https://api.github.com/repos/OWNER/NAME shows`},
		},
		{
			name:    "confirmed ids that are missing",
			replace: [2]string{"example/widget", "example/widget, ids: confirmed"},
			want:    []string{`monitor.yaml:4:45: projects[0].repository.ids: there are no ids that this could be about; give id and owner_id, or remove ids`},
		},
		{
			name:    "unconfirmed ids that are missing",
			replace: [2]string{"example/widget", "example/widget, ids: unconfirmed"},
			want:    []string{`monitor.yaml:4:45: projects[0].repository.ids: there are no ids that this could be about; give id and owner_id, or remove ids`},
		},
		{
			name:    "state of ids",
			replace: [2]string{"example/widget", "example/widget, id: 7, ids: yes"},
			want:    []string{`monitor.yaml:4:52: projects[0].repository.ids: "yes" is neither; write confirmed or unconfirmed`},
		},
		{
			name:    "issuer with a slash",
			replace: [2]string{"pypi: [widget]", "pypi: [widget]\n    issuer: https://example.org/"},
			want:    []string{`monitor.yaml:4:13: projects[0].issuer: "https://example.org/" is not an issuer; write it as certificates have it, such as https://token.actions.githubusercontent.com`},
		},
		{
			name:    "index project",
			replace: [2]string{"pypi: [widget]", "pypi: [widget, -x-]"},
			want:    []string{`monitor.yaml:3:20: projects[0].pypi[1]: "-x-" is not an index project; write NAME or INDEX/NAME`},
		},
		{
			name:    "index project listed twice",
			replace: [2]string{"pypi: [widget]", "pypi: [widget, Widget]"},
			want:    []string{`monitor.yaml:3:20: projects[0].pypi[1]: pypi/widget is listed twice, first on line 3; keep one of them`},
		},
		{
			name:    "unknown index",
			replace: [2]string{"pypi: [widget]", "pypi: [widget, testpypy/widget]"},
			want:    []string{`monitor.yaml:3:20: projects[0].pypi[1]: "testpypy" is not a known index; did you mean "testpypi"?`},
		},
		{
			name:    "index project that no grade publishes",
			replace: [2]string{"pypi: [widget]", "pypi: [widget, gadget]"},
			want:    []string{`monitor.yaml:3:20: projects[0].pypi[1]: no grade publishes pypi/gadget: every file of it would be wrong; add it to the publishes of a grade, or remove it here`},
		},
		{
			name:    "removals of another project",
			replace: [2]string{"pypi: [widget]", "pypi: [widget]\n    expect_removals: [gadget]"},
			want:    []string{`monitor.yaml:4:23: projects[0].expect_removals[0]: pypi/gadget is not in the project's pypi list; list it there too`},
		},
		{
			name:    "no grades",
			replace: [2]string{smallConfig, smallConfig[:strings.Index(smallConfig, "      - name")] + "      []\n"},
			want:    []string{`monitor.yaml:6:7: projects[0].grades: is empty; write for example grades: [{name: release, workflow: …, refs: […], triggers: […], environment: …, publishes: …}]`},
		},
	})
}

func TestBadGrades(t *testing.T) {
	second := func(changes ...string) [2]string {
		grade := smallConfig[strings.Index(smallConfig, "      - name"):]
		return [2]string{grade, grade + strings.NewReplacer(changes...).Replace(grade)}
	}
	checkBad(t, []badConfig{
		{
			name:    "environment left out",
			replace: [2]string{"        environment: pypi\n", ""},
			want:    []string{`monitor.yaml:6:9: projects[0].grades[0].environment: missing; write for example environment: none`},
		},
		{
			name:    "workflow as a path",
			replace: [2]string{"release.yml", ".github/workflows/release.yml"},
			want:    []string{`monitor.yaml:7:19: projects[0].grades[0].workflow: ".github/workflows/release.yml" is not a file below .github/workflows/; write the file name alone, such as release.yml`},
		},
		{
			name:    "workflow that is none",
			replace: [2]string{"release.yml", "release"},
			want:    []string{`monitor.yaml:7:19: projects[0].grades[0].workflow: "release" is not a file below .github/workflows/; write the file name alone, such as release.yml`},
		},
		{
			name:    "no refs",
			replace: [2]string{"['refs/heads/main']", "[]"},
			want:    []string{`monitor.yaml:8:15: projects[0].grades[0].refs: is empty; write for example refs: ['refs/heads/main']`},
		},
		{
			name:    "ref with a bad pattern",
			replace: [2]string{"refs/heads/main", "refs/heads/(main"},
			want:    []string{"monitor.yaml:8:16: projects[0].grades[0].refs[0]: \"refs/heads/(main\" is not a pattern: missing closing ): `refs/heads/(main`; write an RE2 pattern such as refs/heads/main"},
		},
		{
			name:    "ref with anchors",
			replace: [2]string{"refs/heads/main", "^refs/heads/main$"},
			want:    []string{`monitor.yaml:8:16: projects[0].grades[0].refs[0]: "^refs/heads/main$" has an anchor of its own; remove ^ and $: each pattern has to match the whole ref anyway`},
		},
		{
			name:    "ref with an inner anchor",
			replace: [2]string{"refs/heads/main", "refs/heads/(main$|rel)"},
			want:    []string{`monitor.yaml:8:16: projects[0].grades[0].refs[0]: "refs/heads/(main$|rel)" has an anchor of its own; remove ^ and $: each pattern has to match the whole ref anyway`},
		},
		{
			name:    "empty ref",
			replace: [2]string{"refs/heads/main", ".*"},
			want:    []string{`monitor.yaml:8:16: projects[0].grades[0].refs[0]: ".*" matches the empty ref; write refs/.+ for any ref`},
		},
		{
			name:    "short ref",
			replace: [2]string{"refs/heads/main", "main"},
			want:    []string{`monitor.yaml:8:16: projects[0].grades[0].refs[0]: "main" does not begin with refs/; write the whole ref, such as refs/heads/main`},
		},
		{
			name:    "ref with an unknown group",
			replace: [2]string{"refs/heads/main", "refs/heads/(?P<v>.+)"},
			want:    []string{`monitor.yaml:8:16: projects[0].grades[0].refs[0]: "refs/heads/(?P<v>.+)" has a group named "v", which means nothing; name it version, or write (…) for a group without meaning`},
		},
		{
			name:    "ref that is too large",
			replace: [2]string{"refs/heads/main", "refs/((a{100}){100}){100}"},
			want:    []string{"monitor.yaml:8:16: projects[0].grades[0].refs[0]: \"refs/((a{100}){100}){100}\" is not a pattern: invalid repeat count: `{100}`; write an RE2 pattern such as refs/heads/main"},
		},
		{
			name:    "unknown trigger",
			replace: [2]string{"[push]", "[workflow-dispatch]"},
			want:    []string{`monitor.yaml:9:20: projects[0].grades[0].triggers[0]: "workflow-dispatch" is not an event of GitHub's; did you mean "workflow_dispatch"?`},
		},
		{
			name:    "trigger of nobody",
			replace: [2]string{"[push]", "[sunrise]"},
			want:    []string{`monitor.yaml:9:20: projects[0].grades[0].triggers[0]: "sunrise" is not an event of GitHub's; see GitHub's list of events that trigger workflows`},
		},
		{
			name:    "trigger of a called workflow",
			replace: [2]string{"[push]", "[workflow_call]"},
			want:    []string{`monitor.yaml:9:20: projects[0].grades[0].triggers[0]: "workflow_call" is in no certificate: a called workflow has its caller's event; write the event that starts the calling workflow`},
		},
		{
			name:    "trigger listed twice",
			replace: [2]string{"[push]", "[push, push]"},
			want:    []string{`monitor.yaml:9:26: projects[0].grades[0].triggers[1]: "push" is listed twice; remove it`},
		},
		{
			name:    "pull requests that publish",
			replace: [2]string{"[push]", "[push, pull_request_target]"},
			want:    []string{`monitor.yaml:9:26: projects[0].grades[0].triggers[1]: "pull_request_target" must not publish: a pull request's author would decide what is in the files; remove the trigger, or make a grade of its own for it that publishes nothing`},
		},
		{
			name:  "unknown runner",
			after: `runner: github`,
			want:  []string{`monitor.yaml:12:17: projects[0].grades[0].runner: "github" is not a kind of runner; write one of github-hosted, self-hosted, any`},
		},
		{
			name:    "publishes on an unknown index",
			replace: [2]string{"publishes: widget", "publishes: [pipy/widget]"},
			want:    []string{`monitor.yaml:11:21: projects[0].grades[0].publishes[0]: "pipy" is not a known index; did you mean "pypi"?`},
		},
		{
			name:    "publishes twice",
			replace: [2]string{"publishes: widget", "publishes: [widget, pypi/widget]"},
			want:    []string{`monitor.yaml:11:29: projects[0].grades[0].publishes[1]: pypi/widget is listed twice; remove it`},
		},
		{
			name:    "publishes something unreadable",
			replace: [2]string{"publishes: widget", "publishes: {name: widget}"},
			want:    []string{`monitor.yaml:11:20: projects[0].grades[0].publishes: is a mapping where one value is expected; write a single value`},
		},
		{
			name:  "duty without date",
			after: `publish_since: {version: 1.0}`,
			want:  []string{`monitor.yaml:12:24: projects[0].grades[0].publish_since.uploaded: missing; write for example uploaded: 2025-08-01`},
		},
		{
			name:  "duty with a bad version",
			after: `publish_since: {version: one, uploaded: 2025-01-01}`,
			want:  []string{`monitor.yaml:12:34: projects[0].grades[0].publish_since.version: "one" is not a version (PEP 440); write a version such as 1.19.0`},
		},
		{
			name:  "duty with a bad date",
			after: `publish_since: {uploaded: 2025-02-30}`,
			want:  []string{`monitor.yaml:12:35: projects[0].grades[0].publish_since.uploaded: "2025-02-30" is not a date; write a day such as 2025-08-01 or an instant such as 2025-08-01T12:00:00Z`},
		},
		{
			name:  "duty as a date",
			after: `slsa_since: 2025-01-01`,
			want:  []string{`monitor.yaml:12:21: projects[0].grades[0].slsa_since: is a single value where keys are expected; write keys and values: {key: value}`},
		},
		{
			name:  "SLSA earlier than publish",
			after: "publish_since: {uploaded: 2025-01-02}\n        slsa_since: {uploaded: 2025-01-01}",
			want:  []string{`monitor.yaml:13:21: projects[0].grades[0].slsa_since: begins before publish_since; begin it with publish_since or after it`},
		},
		{
			name:  "SLSA version below publish",
			after: "publish_since: {version: 1.10, uploaded: 2025-01-02}\n        slsa_since: {version: 1.9, uploaded: 2025-02-01}",
			want:  []string{`monitor.yaml:13:21: projects[0].grades[0].slsa_since: begins before publish_since; begin it with publish_since or after it`},
		},
		{
			name:    "duty of a grade that publishes nothing",
			replace: second("release\n", "ci\n", "publishes: widget", "slsa_since: {uploaded: 2025-01-01}", "main", "ci"),
			want:    []string{`monitor.yaml:17:21: projects[0].grades[1].slsa_since: the grade publishes nothing; add publishes, or remove slsa_since`},
		},
		{
			name:    "two grades of one name",
			replace: second("main", "rel"),
			want:    []string{`monitor.yaml:12:15: projects[0].grades[1].name: "release" is the name of the grade on line 6; give each grade its own name`},
		},
		{
			name:    "two grades with the same conditions",
			replace: second("release\n", "other\n"),
			want:    []string{`monitor.yaml:12:9: projects[0].grades[1]: has the same conditions as the grade "release"; make one grade of them, or tell them apart by ref, trigger or environment`},
		},
	})
}
