package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// question is a request, with what stands for a place in it.
type question struct{ method, path, body string }

// place is what questions to a log are filled in with: one of its entries, and the log around it.
type place struct {
	url, size, leaf string // leaf is the entry's hash, as the log writes it
	// Of Rekor v1 alone; the size is that of the active shard.
	tree, uuid, index, total      string
	san, digest, certificate, pem string // certificate is the digest of the PEM
}

func (p place) fill(text string) string {
	return strings.NewReplacer("{size}", p.size, "{leaf}", p.leaf, "{tree}", p.tree, "{uuid}", p.uuid, "{index}", p.index, "{total}", p.total,
		"{treehex}", p.uuid[:min(16, len(p.uuid))], "{san}", p.san, "{digest}", p.digest, "{certificate}", p.certificate, "{pem}", p.pem).Replace(text)
}

// ask asks a question, and returns what kind of an answer it gets: its status, its media type, and its form.
func (p place) ask(t *testing.T, what question) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), what.method, p.url+p.fill(what.path), strings.NewReader(p.fill(what.body)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(what.path, "/publicKey") { // which is text
		q.Header.Set("Accept", "application/json")
	}
	if what.body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if len(raw) == 0 {
		return fmt.Sprint(resp.StatusCode, " without a body")
	}
	if err != nil || media != "application/json" {
		return fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"))
	}
	var answer any
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return fmt.Sprint(resp.StatusCode, " ", media, " ", formOfJSON(answer))
}

var (
	uuidForm  = regexp.MustCompile(`^[0-9a-f]{80}$`)
	hexForm   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	digitForm = regexp.MustCompile(`[0-9]{2,}`)
)

// formOfJSON is a value's form: its members, and of what kind each is. Messages are themselves, but for the numbers in them and
// for what a JSON library says.
func formOfJSON(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var members []string
		for name, value := range v {
			form := formOfJSON(value)
			if text, ok := value.(string); ok && name == "message" {
				text, _, _ = strings.Cut(text, ", because")
				form = digitForm.ReplaceAllString(text, "N")
			}
			if number, ok := value.(float64); ok && name == "code" {
				form = fmt.Sprint(number)
			}
			if uuidForm.MatchString(name) {
				name = "a UUID"
			}
			members = append(members, name+": "+form)
		}
		slices.Sort(members)
		return "{" + strings.Join(members, ", ") + "}"
	case []any:
		forms := map[string]int{}
		for _, value := range v {
			forms[formOfJSON(value)]++
		}
		var all []string
		for form, n := range forms {
			if strings.HasPrefix(form, "{") || form == "a UUID" { // of hashes there are more in larger trees
				form = fmt.Sprint(n, " ", form)
			}
			all = append(all, form)
		}
		slices.Sort(all)
		return "[" + strings.Join(all, ", ") + "]"
	case string:
		switch {
		case uuidForm.MatchString(v):
			return "a UUID"
		case hexForm.MatchString(v):
			return "a hash"
		}
		return "text"
	}
	return fmt.Sprintf("%T", v)
}

// compareAnswers puts questions to a real log and to the sandbox's.
func compareAnswers(t *testing.T, questions []question, real, played place) {
	t.Helper()
	for _, q := range questions {
		if got, want := played.ask(t, q), real.ask(t, q); got != want {
			t.Errorf("%s %s %.200s\n   real: %s\nsandbox: %s", q.method, q.path, q.body, want, got)
		}
	}
}
