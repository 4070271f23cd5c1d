package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/notify"
)

// tracker is the part of GitHub's API that issues need.
type tracker struct {
	server *httptest.Server

	mu      sync.Mutex
	issues  []*trackedIssue
	answers []func(http.ResponseWriter) bool // one a call that writes; true carries it out; nil is no trouble
}

type trackedIssue struct {
	Number   int              `json:"number"`
	Title    string           `json:"title"`
	Body     string           `json:"body"`
	State    string           `json:"state"`
	Labels   []string         `json:"-"`
	Comments []trackedComment `json:"-"`
}

type trackedComment struct {
	Body string `json:"body"`
}

func newTracker(t *testing.T) *tracker {
	t.Helper()
	g := &tracker{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/example/widget/issues", func(w http.ResponseWriter, _ *http.Request) { g.reply(w, 200, g.issues) })
	mux.HandleFunc("POST /repos/example/widget/issues", g.write(func(w http.ResponseWriter, body trackedWrite, _ *trackedIssue) {
		i := &trackedIssue{Number: len(g.issues) + 1, Title: body.Title, Body: body.Body, State: "open", Labels: body.Labels}
		g.issues = append(g.issues, i)
		g.reply(w, 201, i)
	}))
	mux.HandleFunc("PATCH /repos/example/widget/issues/{n}", g.write(func(w http.ResponseWriter, body trackedWrite, i *trackedIssue) {
		if i == nil {
			g.reply(w, 410, map[string]string{"message": "This issue was deleted"})
			return
		}
		i.Title, i.Body, i.State = body.Title, body.Body, body.State
		g.reply(w, 200, i)
	}))
	mux.HandleFunc("GET /repos/example/widget/issues/{n}/comments", func(w http.ResponseWriter, q *http.Request) { g.reply(w, 200, g.issue(q).Comments) })
	mux.HandleFunc("POST /repos/example/widget/issues/{n}/comments", g.write(func(w http.ResponseWriter, body trackedWrite, i *trackedIssue) {
		i.Comments = append(i.Comments, trackedComment{body.Body})
		g.reply(w, 201, map[string]int{"id": 1})
	}))
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if q.Header.Get("Authorization") != "Bearer ghp_topsecret" {
			g.reply(w, 401, map[string]string{"message": "Bad credentials"})
			return
		}
		mux.ServeHTTP(w, q)
	}))
	t.Cleanup(g.server.Close)
	return g
}

type trackedWrite struct {
	Title, Body, State string
	Labels             []string
}

func (g *tracker) reply(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (g *tracker) issue(q *http.Request) *trackedIssue {
	n, err := strconv.Atoi(q.PathValue("n"))
	if err != nil || n > len(g.issues) || g.issues[n-1] == nil {
		return nil
	}
	return g.issues[n-1]
}

func (g *tracker) write(do func(http.ResponseWriter, trackedWrite, *trackedIssue)) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		var body trackedWrite
		if json.NewDecoder(q.Body).Decode(&body) != nil || len(body.Body) > 65536 || len(body.Title) > 1024 {
			g.reply(w, 422, map[string]string{"message": "Validation Failed"})
			return
		}
		if len(g.answers) > 0 {
			answer := g.answers[0]
			g.answers = g.answers[1:]
			if answer != nil {
				if answer(w) {
					do(httptest.NewRecorder(), body, g.issue(q))
				}
				return
			}
		}
		do(w, body, g.issue(q))
	}
}

func (g *tracker) channel() *notify.Issues {
	return notify.NewIssues("issues", "example/widget", "ghp_topsecret", g.server.URL, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
}

// shown is the tracker as "number state title, comments", one line an issue.
func (g *tracker) shown() string {
	var all []string
	for _, i := range g.issues {
		if i == nil {
			continue
		}
		title, _, _ := strings.Cut(i.Title, " (")
		all = append(all, fmt.Sprintf("%d %s %s, %d comments", i.Number, i.State, title, len(i.Comments)))
	}
	return strings.Join(all, "\n")
}

func TestAFindingIsOneIssueUntilItIsResolved(t *testing.T) {
	g := newTracker(t)
	b := newBench(t, 2, g.channel())
	deliver(t, b)
	same(t, "two findings", g.shown(), "1 open New finding: no-provenance, 0 comments", "2 open New finding: no-provenance, 0 comments")
	b.settle(t, 1, []string{"issues"})
	deliver(t, b)
	same(t, "one is resolved", g.shown(), "1 open New finding: no-provenance, 0 comments", "2 closed Resolved: no-provenance, 1 comments")
	b.settle(t, 2, []string{"issues"})
	deliver(t, b)
	same(t, "it is back", g.shown(), "1 open New finding: no-provenance, 0 comments", "2 open Finding is back: no-provenance, 2 comments")
	g.issues[1] = nil
	b.settle(t, 0, []string{"issues"})
	deliver(t, b)
	same(t, "one was deleted", g.shown(), "1 closed Resolved: no-provenance, 1 comments", "3 open Resolved: no-provenance, 0 comments")
	if g.issues[0].Labels[0] != "rekoncile" {
		t.Errorf("labels %v", g.issues[0].Labels)
	}
}

func TestNothingIsTwiceOnGitHub(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter) bool{
		"server error":                  answers(502, "", "", false),
		"server error that took effect": answers(502, "", "", true),
		"cut off, in effect":            func(http.ResponseWriter) bool { return true },
		"limited":                       answers(403, "Retry-After", "30", false),
	} {
		for call, at := range map[string]int{"issue": 0, "update": 1, "comment": 2} {
			g := newTracker(t)
			b := newBench(t, 1, g.channel())
			g.answers = append(make([]func(http.ResponseWriter) bool, at), answer)
			deliver(t, b)
			b.settle(t, 0, []string{"issues"})
			if d := deliver(t, b); d[0].Pending != 0 {
				t.Errorf("%s, %s: %+v", name, call, d[0])
			}
			same(t, name+", "+call, g.shown(), "1 closed Resolved: no-provenance, 1 comments")
		}
	}
}

func TestGitHubsErrorsHaveNoSecret(t *testing.T) {
	g := newTracker(t)
	for name, answer := range map[string]func(http.ResponseWriter) bool{
		"revoked": answers(401, "", "", false),
		"echo": func(w http.ResponseWriter) bool {
			g.reply(w, 403, map[string]string{"message": "ghp_topsecret may not"})
			return false
		},
		"refused": answers(422, "", "", false),
	} {
		b := newBench(t, 1, g.channel())
		g.answers = []func(http.ResponseWriter) bool{answer, answer, answer}
		d := deliver(t, b)
		if d[0].Pending != 1 || !strings.HasPrefix(d[0].Problem, "github answered 4") || strings.Contains(d[0].Problem+b.log.String(), "topsecret") {
			t.Errorf("%s: %+v", name, d[0])
		}
	}
}

// TestHostileTextIsHarmlessInAnIssue wants everything from outside in one fenced block that it cannot end.
func TestHostileTextIsHarmlessInAnIssue(t *testing.T) {
	for name, p := range hostileParcels() {
		g := newTracker(t)
		if _, err := g.channel().Send(context.Background(), p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		i := g.issues[0]
		fence := regexp.MustCompile("^`{3,}").FindString(i.Body)
		parts := strings.Split(i.Body, fence)
		if fence == "" || len(parts) != 3 || strings.Contains(parts[0]+parts[2], "evil") || strings.Contains(parts[2], "@") {
			t.Errorf("%s: it breaks out: %.300q", name, i.Body)
		}
		if strings.ContainsAny(i.Title, "`\n\u202e") || strings.ContainsAny(i.Body, "\u202e\x1b\x00\r") {
			t.Errorf("%s: it deceives: %q", name, i.Title)
		}
	}
}

func TestAGroupIsOneIssue(t *testing.T) {
	g := newTracker(t)
	b := newBench(t, 0, g.channel())
	b.settleRelease(t, 35, []string{"issues"})
	deliver(t, b)
	b.settleRelease(t, 3, []string{"issues"})
	deliver(t, b)
	same(t, "three are open", g.shown(), "1 open no-provenance, 1 comments")
	if !strings.HasPrefix(g.issues[0].Title, "no-provenance (high): 3 of 35 open") {
		t.Errorf("title %q", g.issues[0].Title)
	}
	b.settleRelease(t, 0, []string{"issues"})
	deliver(t, b)
	same(t, "none is", g.shown(), "1 closed no-provenance, 2 comments")
}
