package config

import "testing"

func TestBadTopLevelValues(t *testing.T) {
	checkBad(t, []badConfig{
		{
			name:   "home folder",
			before: `database: ~/monitor.db`,
			want:   []string{`monitor.yaml:1:11: database: "~/monitor.db" begins with ~, which only a shell knows; write the whole path`},
		},
		{
			name:   "database URI",
			before: `database: file:monitor.db`,
			want:   []string{`monitor.yaml:1:11: database: "file:monitor.db" is a URI; write the path alone`},
		},
		{
			name:   "no trust",
			before: `trust: []`,
			want:   []string{`monitor.yaml:1:8: trust: is empty; write for example trust: [{tuf: https://tuf-repo-cdn.sigstore.dev}]`},
		},
		{
			name:   "trust without source",
			before: `trust: [{cache: x}]`,
			want:   []string{`monitor.yaml:1:9: trust[0]: names no source; give tuf: URL or trusted_root: PATH`},
		},
		{
			name:   "two sources in one",
			before: `trust: [{tuf: https://example.org, trusted_root: x}]`,
			want:   []string{`monitor.yaml:1:50: trust[0].trusted_root: stands beside tuf; list it as a source of its own`},
		},
		{
			name:   "cache without TUF",
			before: `trust: [{trusted_root: x, cache: y}]`,
			want:   []string{`monitor.yaml:1:24: trust[0].trusted_root: stands beside root_file or cache, which only tuf has a use for; remove root_file and cache, or name the repository with tuf`},
		},
		{
			name:   "source listed twice",
			before: `trust: [{tuf: https://example.org}, {tuf: https://example.org/}]`,
			want:   []string{`monitor.yaml:1:37: trust[1]: https://example.org is listed twice, first on line 1; keep one of them`},
		},
		{
			name:   "plain http",
			before: `trust: [{tuf: http://example.org}]`,
			want:   []string{`monitor.yaml:1:15: trust[0].tuf: "http://example.org" is plain http; use https, or list the host in allow_http`},
		},
		{
			name:   "plain http on another port than allowed",
			before: "allow_http: [\"example.org:81\"]\nindexes: {a: {url: \"http://example.org:81\"}, b: {url: \"http://example.org:82\"}}",
			want:   []string{`monitor.yaml:2:55: indexes.b.url: "http://example.org:82" is plain http; use https, or list the host in allow_http`},
		},
		{
			name:   "not a URL",
			before: `trust: [{tuf: example.org}]`,
			want:   []string{`monitor.yaml:1:15: trust[0].tuf: "example.org" is not an https URL; write a URL such as https://pypi.org`},
		},
		{
			name:   "URL with a query",
			before: `indexes: {pypi: {url: https://example.org/?a=b}}`,
			want:   []string{`monitor.yaml:1:23: indexes.pypi.url: "https://example.org/?a=b" has a query or a fragment; remove what follows the path`},
		},
		{
			name:   "URL with a password",
			before: `indexes: {pypi: {url: https://a:b@example.org}}`,
			want:   []string{`monitor.yaml:1:23: indexes.pypi.url: holds a user name; remove what stands before the @`},
		},
		{
			name:   "URL with a bad port",
			before: `indexes: {pypi: {url: https://example.org:99999}}`,
			want:   []string{`monitor.yaml:1:23: indexes.pypi.url: "https://example.org:99999" is not an https URL; write a URL such as https://pypi.org`},
		},
		{
			name:   "index without URL",
			before: `indexes: {mirror: {files: [a]}}`,
			want:   []string{`monitor.yaml:1:19: indexes.mirror.url: missing; write for example url: https://pypi.example.org`},
		},
		{
			name:   "index with a bad name",
			before: `indexes: {My Index: {url: https://example.org}}`,
			want:   []string{`monitor.yaml:1:11: indexes["My Index"]: "My Index" is not a name for an index; use small letters, digits and dashes`},
		},
		{
			name:   "index with the URL of a known one",
			before: `indexes: {mirror: {url: https://pypi.org/}}`,
			want:   []string{`monitor.yaml:1:11: indexes.mirror: has the URL of the index "pypi"; use one name for it`},
		},
		{
			name:   "two indexes with one URL",
			before: `indexes: {a: {url: https://example.org}, b: {url: https://example.org}}`,
			want:   []string{`monitor.yaml:1:42: indexes.b: has the URL of the index "a"; use one name for it`},
		},
		{
			name:   "file host as URL",
			before: `indexes: {pypi: {files: [https://Files.example.org/packages]}}`,
			want:   []string{`monitor.yaml:1:26: indexes.pypi.files[0]: "https://Files.example.org/packages" is not a host; write the host alone: files.example.org`},
		},
		{
			name:   "host listed twice",
			before: `allow_http: [example.org, Example.org]`,
			want:   []string{`monitor.yaml:1:27: allow_http[1]: "example.org" is listed twice; remove it`},
		},
		{
			name:   "wildcard host",
			before: `allow_http: ["*.example.org"]`,
			want:   []string{`monitor.yaml:1:14: allow_http[0]: "*.example.org" is not a host; write a host such as pypi.org or 127.0.0.1:8080`},
		},
		{
			name:   "contact",
			before: `contact: the (team)`,
			want:   []string{`monitor.yaml:1:10: contact: "the (team)" cannot be written to; write an https URL or an e-mail address`},
		},
		{
			name:   "budget without unit",
			before: `budgets: {pypi.org: 60}`,
			want:   []string{`monitor.yaml:1:21: budgets["pypi.org"]: "60" is not a budget; write a number and a unit: 5/s, 60/min, 60/hour or 1000/day`},
		},
		{
			name:   "budget with an unknown unit",
			before: `budgets: {pypi.org: 60/m}`,
			want:   []string{`monitor.yaml:1:21: budgets["pypi.org"]: "60/m" is not a budget; write a number and a unit: 5/s, 60/min, 60/hour or 1000/day`},
		},
		{
			name:   "budget of nothing",
			before: `budgets: {pypi.org: 0/min}`,
			want:   []string{`monitor.yaml:1:21: budgets["pypi.org"]: "0/min" is not between 1 and 1000000 requests; write a number and a unit: 5/s, 60/min, 60/hour or 1000/day`},
		},
		{
			name:   "budget for a URL",
			before: `budgets: {"https://pypi.org": 60/min}`,
			want:   []string{`monitor.yaml:1:11: budgets["https://pypi.org"]: "https://pypi.org" is not a host; write the host alone: pypi.org`},
		},
		{
			name:   "budget given twice",
			before: `budgets: {pypi.org: 60/min, PyPI.org: 30/min}`,
			want:   []string{`monitor.yaml:1:29: budgets["PyPI.org"]: "pypi.org" is given twice, first on line 1; keep one of them`},
		},
		{
			name:   "negative duration",
			before: `recheck_after: -1h`,
			want:   []string{`monitor.yaml:1:16: recheck_after: "-1h" is negative; write a duration such as 90m, 168h or 7d`},
		},
		{
			name:   "not a duration",
			before: `recheck_after: 1 week`,
			want:   []string{`monitor.yaml:1:16: recheck_after: "1 week" is not a duration; write a duration such as 90m, 168h or 7d`},
		},
		{
			name:   "short duration",
			before: `recheck_after: 1s`,
			want:   []string{`monitor.yaml:1:16: recheck_after: is shorter than 1m; write a duration such as 168h`},
		},
		{
			name:   "endless duration",
			before: `recheck_after: 99999999999999999999d`,
			want:   []string{`monitor.yaml:1:16: recheck_after: "99999999999999999999d" is longer than 87600h; write a duration such as 90m, 168h or 7d`},
		},
		{
			name:   "unknown rule",
			before: `rules: {no-provenence: {grace: 1h}}`,
			want:   []string{`monitor.yaml:1:9: rules.no-provenence: unknown rule; did you mean "no-provenance"?`},
		},
		{
			name:   "rule switched off",
			before: `rules: {wrong-grade: {off: true}}`,
			want:   []string{`monitor.yaml:1:23: rules.wrong-grade.off: a rule cannot be switched off; set its severity, or acknowledge what it finds`},
		},
		{
			name:   "unknown severity",
			before: `rules: {wrong-grade: {severity: hihg}}`,
			want:   []string{`monitor.yaml:1:33: rules.wrong-grade.severity: "hihg" is not a severity; did you mean "high"?`},
		},
		{
			name:   "severity out of nowhere",
			before: `rules: {wrong-grade: {severity: apocalyptic}}`,
			want:   []string{`monitor.yaml:1:33: rules.wrong-grade.severity: "apocalyptic" is not a severity; write one of critical, high, medium, low, info`},
		},
		{
			name:   "long grace",
			before: `rules: {wrong-grade: {grace: 31d}}`,
			want:   []string{`monitor.yaml:1:30: rules.wrong-grade.grace: "31d" is longer than 30 days; write at most 30d`},
		},
		{
			name:   "negative grace",
			before: `rules: {wrong-grade: {grace: -5m}}`,
			want:   []string{`monitor.yaml:1:30: rules.wrong-grade.grace: "-5m" is negative; write a duration such as 90m, 168h or 7d`},
		},
		{
			name:   "secret in the file",
			before: `alerts: {slack: {webhook: https://hooks.slack.com/x}}`,
			want:   []string{`monitor.yaml:1:27: alerts.slack.webhook: holds the secret itself or an incomplete reference to it; put it in a file (webhook_file: PATH) or in a variable (webhook: "${VARIABLE}")`},
		},
		{
			name:   "secret in place of a path",
			before: `alerts: {slack: {webhook_file: https://hooks.slack.com/x}}`,
			want:   []string{`monitor.yaml:1:32: alerts.slack.webhook_file: holds a URL where a path is expected; put it in a file (webhook_file: PATH) or in a variable (webhook: "${VARIABLE}")`},
		},
		{
			name:   "secret twice",
			before: `alerts: {slack: {webhook_file: x, webhook: "${X}"}}`,
			want:   []string{`monitor.yaml:1:44: alerts.slack.webhook: stands beside webhook_file; keep one of them`},
		},
		{
			name:   "no secret",
			before: `alerts: {slack: {}}`,
			want:   []string{`monitor.yaml:1:17: alerts.slack.webhook: missing; put it in a file (webhook_file: PATH) or in a variable (webhook: "${VARIABLE}")`},
		},
		{
			name:   "GitHub's token in the file",
			before: `github: {token: ghp_x}`,
			want:   []string{`monitor.yaml:1:17: github.token: holds the secret itself or an incomplete reference to it; put it in a file (token_file: PATH) or in a variable (token: "${VARIABLE}")`},
		},
		{
			name:   "GitHub's token twice",
			before: `github: {token_file: x, token: "${X}"}`,
			want:   []string{`monitor.yaml:1:32: github.token: stands beside token_file; keep one of them`},
		},
		{
			name:   "store that is neither on nor off",
			before: `github: {attestations: yes}`,
			want:   []string{`monitor.yaml:1:24: github.attestations: "yes" is neither; write on or off`},
		},
		{
			name:   "runs without a token",
			before: `github: {runs: on}`,
			want:   []string{`monitor.yaml:1:16: github.runs: "on" cannot be looked up without a token, for want of requests; give token_file or token, or switch runs off`},
		},
		{
			name:   "API in plain http",
			before: `github: {api: "http://github.example.org"}`,
			want:   []string{`monitor.yaml:1:15: github.api: "http://github.example.org" is plain http; use https, or list the host in allow_http`},
		},
		{
			name:   "all hosts of a top-level domain",
			before: `github: {blobs: ["*.net"]}`,
			want:   []string{`monitor.yaml:1:18: github.blobs[0]: "*.net" is not the hosts below a domain; write a host, or *.DOMAIN with a domain of one's own such as *.blob.core.windows.net`},
		},
		{
			name:   "all hosts",
			before: `github: {blobs: ["*"]}`,
			want:   []string{`monitor.yaml:1:18: github.blobs[0]: "*" is not a host; write a host such as pypi.org or 127.0.0.1:8080`},
		},
		{
			name:   "blob host twice",
			before: `github: {blobs: [a.example.org, A.example.org]}`,
			want:   []string{`monitor.yaml:1:33: github.blobs[1]: "a.example.org" is listed twice; remove it`},
		},
	})
}
