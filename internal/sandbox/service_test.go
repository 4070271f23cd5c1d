package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ask makes one request and reads at most limit bytes of the answer.
func ask(ctx context.Context, url string, limit int64) (status int, header http.Header, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, "", err
	}
	request.Header.Set("Accept", acceptSimple)
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, limit))
	return response.StatusCode, response.Header, string(raw), err
}

func TestFaultsDoWhatTheySay(t *testing.T) {
	w := smallIndex(t)
	const path = "/simple/some-project/"
	url := w.PyPI.URL() + path
	_, honestHeader, honest, err := ask(t.Context(), url, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		fault Fault
		check func(status int, header http.Header, body string, err error) bool
	}{
		{"status", Fault{Status: 503}, func(s int, h http.Header, b string, err error) bool {
			return err == nil && s == 503 && b == "" && h.Get("Retry-After") == ""
		}},
		{"too many requests", Fault{Status: 429, RetryAfter: "7"}, func(s int, h http.Header, _ string, err error) bool {
			return err == nil && s == 429 && h.Get("Retry-After") == "7"
		}},
		{"a page instead of JSON", Fault{ContentType: "text/html", Body: []byte("<html>")}, func(s int, h http.Header, b string, err error) bool {
			return err == nil && s == 200 && h.Get("Content-Type") == "text/html" && b == "<html>"
		}},
		{"wrong content type", Fault{ContentType: "text/plain"}, func(s int, h http.Header, b string, err error) bool {
			return err == nil && s == 200 && h.Get("Content-Type") == "text/plain" && b == honest
		}},
		{"rewritten", Fault{Rewrite: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("sha256"), []byte("md5")) }},
			func(s int, h http.Header, b string, err error) bool {
				return err == nil && s == 200 && b == strings.ReplaceAll(honest, "sha256", "md5") && h.Get("ETag") == honestHeader.Get("ETag")
			}},
		{"truncated", Fault{Truncate: true}, func(s int, _ http.Header, b string, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && s == 200 && b == honest[:len(honest)/2]
		}},
		{"endless", Fault{Endless: true}, func(s int, _ http.Header, b string, err error) bool {
			return err == nil && s == 200 && len(b) == 1<<20 && b == strings.Repeat("\x00", 1<<20)
		}},
		{"dropped", Fault{Drop: true}, func(_ int, _ http.Header, _ string, err error) bool { return err != nil }},
		{"another path", Fault{Path: "/simple/other/", Status: 500}, func(s int, _ http.Header, b string, _ error) bool { return s == 200 && b == honest }},
		{"a prefix of the path", Fault{Path: "/simple/*", Status: 500}, func(s int, _ http.Header, _ string, _ error) bool { return s == 500 }},
		{"another method", Fault{Method: "POST", Status: 500}, func(s int, _ http.Header, _ string, _ error) bool { return s == 200 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			mend := w.PyPI.Break(c.fault)
			defer mend()
			status, header, body, err := ask(t.Context(), url, 1<<20)
			if !c.check(status, header, body, err) {
				t.Errorf("status %d, header %v, %d bytes %.80q, error %v", status, header, len(body), body, err)
			}
			mend()
			if _, _, body, err := ask(t.Context(), url, 1<<20); err != nil || body != honest {
				t.Errorf("after it was mended: %v, %.80q", err, body)
			}
		})
	}
}

func TestFaultCountsItsRequests(t *testing.T) {
	w := smallIndex(t)
	w.PyPI.Break(Fault{Status: 500, Times: 2})
	var got []int
	for range 3 {
		status, _, _, err := ask(t.Context(), w.PyPI.URL()+"/simple/some-project/", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	if got[0] != 500 || got[1] != 500 || got[2] != 200 {
		t.Errorf("statuses %v", got)
	}
}

func TestStalledRequestsEndWithTheirClientTheFaultOrTheWorld(t *testing.T) {
	type answer struct {
		body string
		err  error
	}
	for name, c := range map[string]struct {
		stall Stall
		end   func(w *World, mend, cancel func())
		check func(answer) bool
	}{
		"before the headers, the client leaves": {StallBeforeHeaders, func(_ *World, _, cancel func()) { cancel() },
			func(a answer) bool { return errors.Is(a.err, context.Canceled) }},
		"in the body, the client leaves": {StallInBody, func(_ *World, _, cancel func()) { cancel() },
			func(a answer) bool { return errors.Is(a.err, context.Canceled) }},
		"before the headers, the fault is mended": {StallBeforeHeaders, func(_ *World, mend, _ func()) { mend() },
			func(a answer) bool { return a.err == nil && strings.HasPrefix(a.body, `{"meta":`) }},
		"in the body, the fault is mended": {StallInBody, func(_ *World, mend, _ func()) { mend() },
			func(a answer) bool { return errors.Is(a.err, io.ErrUnexpectedEOF) }},
		"before the headers, the world ends": {StallBeforeHeaders, func(w *World, _, _ func()) { _ = w.Close() },
			func(a answer) bool { return a.err != nil }},
		"in the body, the world ends": {StallInBody, func(w *World, _, _ func()) { _ = w.Close() },
			func(a answer) bool { return a.err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			w := smallIndex(t)
			url := w.PyPI.URL() + "/simple/some-project/"
			arrived := make(chan struct{})
			mend := w.PyPI.Break(Fault{Stall: c.stall, Times: 1, Rewrite: func(b []byte) []byte {
				close(arrived)
				return b
			}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan answer, 1)
			go func() {
				_, _, body, err := ask(ctx, url, 1<<20)
				got <- answer{body, err}
			}()
			<-arrived
			c.end(w, mend, cancel)
			if a := <-got; !c.check(a) {
				t.Errorf("body %.40q, error %v", a.body, a.err)
			}
		})
	}
}

func TestSlackTakesMessagesAsTheRealOneDoes(t *testing.T) {
	w := startedWorld(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	post := func(url, contentType, body string) (int, string) {
		t.Helper()
		response, err := client.Post(url, contentType, strings.NewReader(body))
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		raw, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(raw)
	}
	const asJSON = "application/json"
	for _, c := range []struct {
		url, contentType, body string
		status                 int
		word                   string
	}{
		{w.Slack.WebhookURL(), asJSON, `{"text":"first"}`, 200, "ok"},
		{w.Slack.WebhookURL(), asJSON, `{"blocks":[{"type":"divider"}]}`, 200, "ok"},
		{w.Slack.WebhookURL(), asJSON, `{"text":`, 400, "invalid_payload"},
		{w.Slack.WebhookURL(), "text/plain", `{"text":"x"}`, 400, "invalid_payload"},
		{w.Slack.WebhookURL(), asJSON, `{}`, 400, "no_text"},
		{w.Slack.URL() + "/services/T0/B0/wrong", asJSON, `{"text":"x"}`, 404, "no_service"},
	} {
		if status, word := post(c.url, c.contentType, c.body); status != c.status || word != c.word {
			t.Errorf("%s: %d %q, want %d %q", c.body, status, word, c.status, c.word)
		}
	}

	w.Slack.Break(Fault{Status: 429, RetryAfter: "30", Times: 1})
	if status, _ := post(w.Slack.WebhookURL(), asJSON, `{"text":"refused"}`); status != 429 {
		t.Errorf("status %d", status)
	}
	// It took effect, and the sender was told otherwise or nothing.
	w.Slack.Break(Fault{Status: 500, AfterEffect: true, Times: 1})
	if status, _ := post(w.Slack.WebhookURL(), asJSON, `{"text":"taken"}`); status != 500 {
		t.Errorf("status %d", status)
	}
	w.Slack.Break(Fault{Drop: true, AfterEffect: true, Times: 1})
	if status, _ := post(w.Slack.WebhookURL(), asJSON, `{"text":"taken too"}`); status != 0 {
		t.Errorf("status %d", status)
	}
	var texts []string
	for _, m := range w.Slack.Messages() {
		texts = append(texts, m.Text)
	}
	if got := strings.Join(texts, "|"); got != "first||taken|taken too" {
		t.Errorf("messages %q", got)
	}
}

func TestHostileListingsDifferFromTheHonestOne(t *testing.T) {
	w := smallIndex(t)
	url := w.PyPI.URL() + "/simple/some-project/"
	_, honestHeader, honest, err := ask(t.Context(), url, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, h := range HostileListings() {
		if seen[h.Name] {
			t.Errorf("two are named %q", h.Name)
		}
		seen[h.Name] = true
		mend := w.PyPI.Break(h.Fault)
		status, header, body, err := ask(t.Context(), url, 1<<20)
		mend()
		if err == nil && status == 200 && body == honest && header.Get("Content-Type") == honestHeader.Get("Content-Type") {
			t.Errorf("%s: the answer is honest", h.Name)
		}
	}
}
