package config

import "testing"

func TestBadClaimsAndBuilders(t *testing.T) {
	inProject := func(line string) [2]string {
		return [2]string{"pypi: [widget]\n", "pypi: [widget]\n    " + line + "\n"}
	}
	const builder = "https://github.com/example/builder/.github/workflows/build.yml@"
	const advice = "write it as builder.id has it: https://github.com/OWNER/NAME/.github/workflows/FILE@refs/tags/TAG, or with a commit behind the @"
	checkBad(t, []badConfig{
		{
			name:    "claim without anything",
			replace: inProject("claims: [{}]"),
			want: []string{
				`monitor.yaml:4:14: projects[0].claims[0].publishes: missing; write for example publishes: my-package`,
				`monitor.yaml:4:14: projects[0].claims[0].slsa_build: missing; write for example slsa_build: 2`,
				`monitor.yaml:4:14: projects[0].claims[0].source: missing; write for example source: SECURITY.md`,
			},
		},
		{
			name:    "claim of a level that there is not",
			replace: inProject("claims: [{publishes: widget, slsa_build: 4, source: x}]"),
			want:    []string{`monitor.yaml:4:46: projects[0].claims[0].slsa_build: "4" is not a level of SLSA's Build track; write 1, 2 or 3`},
		},
		{
			name:    "claim of nothing",
			replace: inProject("claims: [{publishes: widget, slsa_build: 0, source: x}]"),
			want:    []string{`monitor.yaml:4:46: projects[0].claims[0].slsa_build: "0" is not a level of SLSA's Build track; write 1, 2 or 3`},
		},
		{
			name:    "claim about another project",
			replace: inProject("claims: [{publishes: gadget, slsa_build: 2, source: x}]"),
			want:    []string{`monitor.yaml:4:26: projects[0].claims[0].publishes: pypi/gadget is not in the project's pypi list; list it there too`},
		},
		{
			name:    "claim on an unknown index",
			replace: inProject("claims: [{publishes: pipy/widget, slsa_build: 2, source: x}]"),
			want:    []string{`monitor.yaml:4:26: projects[0].claims[0].publishes: "pipy" is not a known index; did you mean "pypi"?`},
		},
		{
			name:    "claim since a version alone",
			replace: inProject("claims: [{publishes: widget, slsa_build: 2, since: {version: 1.0}, source: x}]"),
			want:    []string{`monitor.yaml:4:56: projects[0].claims[0].since.uploaded: missing; write for example uploaded: 2025-08-01`},
		},
		{
			name:    "claim made twice",
			replace: inProject("claims: [{publishes: widget, slsa_build: 2, source: x}, {publishes: Widget, slsa_build: 2, source: x}]"),
			want:    []string{`monitor.yaml:4:61: projects[0].claims[1]: is claimed twice in "x"; remove it`},
		},
		{
			name:    "builder without anything",
			replace: inProject("builders: [{}]"),
			want: []string{
				`monitor.yaml:4:16: projects[0].builders[0].id: missing; write for example id: https://github.com/OWNER/NAME/.github/workflows/FILE@refs/tags/TAG`,
				`monitor.yaml:4:16: projects[0].builders[0].level: missing; write for example level: 3`,
			},
		},
		{
			name:    "builder that is not pinned",
			replace: inProject("builders: [{id: '" + builder + "refs/heads/main', level: 3}]"),
			want:    []string{`monitor.yaml:4:21: projects[0].builders[0].id: "` + builder + `refs/heads/main" is not pinned: a branch is another one tomorrow; ` + advice},
		},
		{
			name:    "builder without a ref",
			replace: inProject("builders: [{id: 'https://github.com/example/builder', level: 3}]"),
			want:    []string{`monitor.yaml:4:21: projects[0].builders[0].id: "https://github.com/example/builder" is not a workflow at a ref; ` + advice},
		},
		{
			name:    "builder at another place",
			replace: inProject("builders: [{id: 'https://gitlab.com/example/builder/.github/workflows/build.yml@v1', level: 3}]"),
			want:    []string{`monitor.yaml:4:21: projects[0].builders[0].id: "https://gitlab.com/example/builder/.github/workflows/build.yml@v1" is not a workflow at a ref; ` + advice},
		},
		{
			name:    "builder of a level that there is not",
			replace: inProject("builders: [{id: '" + builder + "refs/tags/v1', level: three}]"),
			want:    []string{`monitor.yaml:4:107: projects[0].builders[0].level: "three" is not a level of SLSA's Build track; write 1, 2 or 3`},
		},
		{
			name:    "builder listed twice",
			replace: inProject("builders: [{id: '" + builder + "refs/tags/v1', level: 3}, {id: '" + builder + "refs/tags/v1', level: 2}]"),
			want:    []string{`monitor.yaml:4:116: projects[0].builders[1].id: "` + builder + `refs/tags/v1" is listed twice; keep one of them`},
		},
	})
}

func TestBadExpectations(t *testing.T) {
	checkBad(t, []badConfig{
		{
			name:  "without a tolerance",
			after: "expect: {every: 7d}",
			want:  []string{`monitor.yaml:12:17: projects[0].grades[0].expect.within: missing; write for example within: 2d`},
		},
		{
			name:  "more often than anyone looks",
			after: "expect: {every: 59m, within: 1m}",
			want:  []string{`monitor.yaml:12:25: projects[0].grades[0].expect.every: is shorter than 1h; write a duration such as 7d`},
		},
		{
			name:  "later than the next",
			after: "expect: {every: 7d, within: 8d}",
			want:  []string{`monitor.yaml:12:37: projects[0].grades[0].expect.within: is longer than every: the next one would be due before this one is missed; write a shorter one`},
		},
		{
			name:    "of what nobody looks at",
			replace: [2]string{"publishes: widget\n", "publishes: widget\n      - {name: test, workflow: test.yml, refs: ['refs/heads/main'], triggers: [push], environment: none, publishes: testpypi/widget, expect: {every: 7d, within: 2d}}\n"},
			want:    []string{`monitor.yaml:12:142: projects[0].grades[1].expect: nothing that the grade publishes is in the project's pypi list; list what it publishes there, or remove expect`},
		},
	})
}

// TestBuildersArePinnedInMoreThanOneWay has a tag, a commit, and one's own repository.
func TestBuildersArePinnedInMoreThanOneWay(t *testing.T) {
	for _, id := range []string{
		"https://github.com/example/builder/.github/workflows/build.yml@refs/tags/v1.2.3",
		"https://github.com/example/builder/.github/workflows/build.yml@0123456789abcdef0123456789abcdef01234567",
		"https://github.com/example/widget/.github/workflows/build.yml@refs/tags/v1",
	} {
		c := parseGood(t, smallConfig[:len("projects:\n  - name: widget\n")]+"    builders: [{id: '"+id+"', level: 3}]\n"+smallConfig[len("projects:\n  - name: widget\n"):])
		if b := c.Projects[0].Policy.Builders; len(b) != 1 || b[0].ID != id || b[0].Level != 3 {
			t.Errorf("%s: %+v", id, b)
		}
	}
}
