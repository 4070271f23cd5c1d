package sandbox

import (
	"bytes"
	"regexp"
)

// HostileAnswer is an answer that a client must refuse with a clear error, and that must change nothing.
type HostileAnswer struct {
	Name  string
	Fault Fault
}

// listedDigest finds the SHA-256 of a file in a page of the Simple API.
var listedDigest = regexp.MustCompile(`"sha256":"([0-9a-f]{32})[0-9a-f]{32}"`)

// HostileListings are wrong answers to a request of the Simple API. None of them heals by being asked again, but for
// those with a status of 429 or from 500 on, which are honest failures.
func HostileListings() []HostileAnswer {
	rewrite := func(old, replacement string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(replacement), 1) }
	}
	return append(hostileAnswers(simpleJSON),
		HostileAnswer{"short digest", Fault{Rewrite: func(b []byte) []byte { return listedDigest.ReplaceAll(b, []byte(`"sha256":"$1"`)) }}},
		HostileAnswer{"digest that is no hex", Fault{Rewrite: rewrite(`"sha256":"`, `"sha256":"xy`)}},
		HostileAnswer{"no digest", Fault{Rewrite: rewrite(`"sha256":`, `"md5":`)}},
		HostileAnswer{"negative size", Fault{Rewrite: rewrite(`"size":`, `"size":-`)}},
		HostileAnswer{"time that is no time", Fault{Rewrite: rewrite(`"upload-time":"`, `"upload-time":"yesterday `)}},
		HostileAnswer{"another project's page", Fault{Rewrite: rewrite(`"name":"`, `"name":"not-`)}},
		HostileAnswer{"API version 2", Fault{Rewrite: rewrite(`"api-version":"1.4"`, `"api-version":"2.0"`)}},
	)
}

// HostileProvenance are wrong answers to a request of the Integrity API.
func HostileProvenance() []HostileAnswer {
	return append(hostileAnswers(integrityJSON),
		HostileAnswer{"provenance version 2", Fault{Rewrite: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`{"version":1`), []byte(`{"version":2`), 1)
		}}},
	)
}

// hostileAnswers are wrong whatever was asked for. mediaType is that of an honest answer.
func hostileAnswers(mediaType string) []HostileAnswer {
	return []HostileAnswer{
		{"bad gateway", Fault{Status: 502, ContentType: "text/html", Body: []byte("<html><h1>Bad Gateway</h1></html>")}},
		{"unavailable", Fault{Status: 503, RetryAfter: "1"}},
		{"too many requests", Fault{Status: 429, RetryAfter: "1"}},
		{"too many requests without a time", Fault{Status: 429}},
		{"page instead of JSON", Fault{ContentType: "text/html; charset=utf-8", Body: []byte("<html>Sign in to the hotel's network</html>")}},
		{"wrong content type", Fault{ContentType: "application/octet-stream"}},
		{"truncated body", Fault{Truncate: true}},
		{"half of the JSON", Fault{Rewrite: func(b []byte) []byte { return b[:len(b)/2] }}},
		{"empty body", Fault{Rewrite: func([]byte) []byte { return nil }}},
		{"null", Fault{Rewrite: func([]byte) []byte { return []byte("null") }}},
		{"list instead of an object", Fault{Rewrite: func([]byte) []byte { return []byte("[]") }}},
		{"deep nesting", Fault{Rewrite: func([]byte) []byte { return bytes.Repeat([]byte(`{"meta":`), 200_000) }}},
		{"zeros without end", Fault{Endless: true, ContentType: mediaType}},
		{"dropped connection", Fault{Drop: true}},
	}
}
