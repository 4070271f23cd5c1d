package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

var update = flag.Bool("update", false, "write the golden files anew")

// transitions is a message about each transition, about a repeat, a log and a channel, and parcels of many.
func transitions() map[string]notify.Parcel {
	finding := audit.Finding{ID: "f-0123456789ab", Rule: audit.WrongGrade, Severity: audit.Critical, Status: audit.Open,
		Subject: audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", Release: "1.22.0", File: "onnx-1.22.0.tar.gz", SHA256: strings.Repeat("ab", 32)},
		Identity: &audit.IdentityRef{SAN: "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/pull/1/merge", Issuer: "https://token.actions.githubusercontent.com",
			Repository: "onnx/onnx", Run: "https://github.com/onnx/onnx/actions/runs/1/attempts/1", Commit: strings.Repeat("c0", 20)},
		Log:      &audit.LogRef{Origin: "rekor.sigstore.dev - 1193050959916656506", Index: 17, GlobalIndex: 121904385},
		Summary:  "onnx-1.22.0.tar.gz is signed by a pull request's build, which may not publish it",
		Expected: "onnx/onnx create_release.yml at refs/heads/rel-1.22.0 by workflow_dispatch in environment pypi-release (grade release)",
		Advice:   "Find out how it came to be uploaded, yank it, and publish it again from the release job."}
	until := start.Add(24 * time.Hour)
	messages := map[string]notify.Message{}
	for name, edit := range map[string]func(*notify.Message){
		"opened":    func(m *notify.Message) { m.Transition = audit.Opened },
		"reopened":  func(m *notify.Message) { m.Transition = audit.Reopened },
		"escalated": func(m *notify.Message) { m.Transition, m.Finding.Identity = audit.Escalated, nil },
		"resolved": func(m *notify.Message) {
			m.Transition, m.Finding.Status, m.Finding.ResolvedAt = audit.Settled, audit.Resolved, &start
		},
		"acknowledged": func(m *notify.Message) {
			m.Transition, m.By, m.Why = audit.AckGiven, "alice", "a rehearsal that was uploaded by mistake"
			m.Finding.Status, m.Finding.Ack = audit.Acknowledged, &audit.Ack{By: m.By, Why: m.Why, At: start, Until: &until}
		},
		"reminded": func(m *notify.Message) {
			m.Transition, m.Why = audit.Reminded, "open since 2026-11-01T09:00:00Z, and nobody acknowledged it"
		},
		"unacknowledged": func(m *notify.Message) { m.Transition, m.Why = audit.AckWithdrawn, "the acknowledgement expired" },
		"repeat":         func(m *notify.Message) { m.Transition, m.AttemptedAt = audit.Opened, start },
		"log": func(m *notify.Message) {
			m.Transition = audit.Opened
			m.Finding = audit.Finding{ID: "f-ba9876543210", Rule: audit.LogFork, Severity: audit.Critical, Status: audit.Open, Subject: audit.Subject{LogOrigin: "log.example"},
				Summary: "log log.example: two signed trees contradict each other", Advice: "Keep the record."}
		},
	} {
		m := notify.Message{ID: 1, Finding: finding, At: start}
		edit(&m)
		messages[name] = m
	}
	parcels := map[string]notify.Parcel{}
	for name, m := range messages {
		parcels[name] = single(m)
	}
	var many []notify.Message
	for i, file := range []string{"onnx-1.22.0.tar.gz", "onnx-1.22.0-cp312-abi3-win_amd64.whl", "onnx-1.22.0-cp312-abi3-macosx_12_0_universal2.whl"} {
		m := messages["opened"]
		m.ID, m.Finding.ID, m.Finding.File, m.Finding.Summary = int64(i+1), "f-00000000000"+string(rune('1'+i)), file, file+" is signed by a pull request's build, which may not publish it"
		m.Finding.Log = &audit.LogRef{Origin: m.Finding.Log.Origin, Index: int64(i), GlobalIndex: int64(121904385 + i)}
		many = append(many, m)
	}
	parcels["group"] = notify.Parcel{Form: notify.Group, Messages: many}
	parcels["digest"] = notify.Parcel{Form: notify.Digest, Messages: append([]notify.Message{messages["resolved"], messages["log"]}, many...)}
	parcels["summary"] = notify.Parcel{Form: notify.Summary, Messages: many}
	return parcels
}

// golden compares a message with its golden file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", file, diff)
	}
}

// indented lays JSON out.
func indented(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestWhatPeopleRead compares what each channel that can be pointed at loopback is sent with golden files.
func TestWhatPeopleRead(t *testing.T) {
	for name, p := range transitions() {
		send := func(c notify.Channel) {
			t.Helper()
			if _, err := c.Send(context.Background(), p); err != nil {
				t.Fatalf("%s, %s: %v", name, c.Name(), err)
			}
		}
		body := postParcel(t, p)
		for _, problem := range readPosted(t, body).problems() {
			t.Errorf("%s: %s", name, problem)
		}
		golden(t, "slack/"+name+".json", indented(t, body))

		w := newWorkspace(t)
		send(w.bot(t))
		if diff := cmp.Diff(readPosted(t, body).Blocks, w.messages[0].Blocks); diff != "" {
			t.Errorf("%s by token is another (-webhook +token):\n%s", name, diff)
		}

		r := newSignedReceiver(t)
		send(webhookTo(t, r.server.URL+"/"))
		golden(t, "webhook/"+name+".json", indented(t, r.took[0]))

		path := filepath.Join(t.TempDir(), "alerts.jsonl")
		send(notify.NewLogFile("file", path))
		if line := readLines(t, path)[0]; line != r.took[0] {
			t.Errorf("%s: the log has %s, the webhook %s", name, line, r.took[0])
		}

		s := newMailServer(t)
		send(s.channel(t, newBench(t, 0)))
		golden(t, "email/"+name+".eml", s.mails()[0])

		teams := newTeamsWorkflow(t, http.StatusAccepted)
		send(teams.channel(t))
		golden(t, "teams/"+name+".json", indented(t, teams.took[0]))

		g := newTracker(t)
		send(g.channel())
		golden(t, "github/"+name+".md", g.issues[0].Title+"\n\n"+g.issues[0].Body)

		for kind, service := range loopbackServices() {
			var took string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				text, err := io.ReadAll(q.Body)
				if err != nil {
					return
				}
				w.Header().Set("Connection", "close")
				if m := service.read(q, string(text)); m != "" {
					took = m
				}
				io.WriteString(w, service.say)
			}))
			send(serviceTo(t, service.form, server))
			server.Close()
			golden(t, "service/"+name+".txt", strings.TrimRight(took, "\n")+"\n")
			if len([]rune(took)) > 2000 {
				t.Errorf("%s: %d characters are too long for a service like %s", name, len([]rune(took)), kind)
			}
		}
	}
}
