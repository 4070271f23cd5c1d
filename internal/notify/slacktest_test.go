package notify_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slacktest"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// TestSlacksOwnLibraryReadsTheMessage posts to the test server of the library and has the library parse what came.
func TestSlacksOwnLibraryReadsTheMessage(t *testing.T) {
	server := slacktest.NewTestServer()
	var got slack.WebhookMessage
	var broken error
	server.Handle("/services/T0/B0/topsecret", func(w http.ResponseWriter, q *http.Request) {
		broken = json.NewDecoder(q.Body).Decode(&got)
		takes(w)
	})
	server.Start()
	defer server.Stop()
	s := slackTo(t, server.GetAPIURL()[:len(server.GetAPIURL())-1])
	f := audit.Finding{ID: "f-1", Rule: "no-provenance", Severity: audit.High, Status: audit.Open, Summary: "a file is unsigned", Advice: "yank it"}
	if _, err := s.Send(context.Background(), single(notify.Message{Finding: f, Transition: audit.Opened, At: start})); err != nil {
		t.Fatal(err)
	}
	if broken != nil {
		t.Fatal(broken)
	}
	if got.Text != "New finding: no-provenance (high): a file is unsigned" {
		t.Errorf("text %q", got.Text)
	}
	header, ok := got.Blocks.BlockSet[0].(*slack.HeaderBlock)
	if !ok || header.Text.Text != "New finding: no-provenance (high)" {
		t.Errorf("first block %+v", got.Blocks.BlockSet[0])
	}
	last, ok := got.Blocks.BlockSet[len(got.Blocks.BlockSet)-1].(*slack.ContextBlock)
	if !ok || last.ContextElements.Elements[0].(*slack.TextBlockObject).Text != "f-1 at 2026-11-02T09:00:00Z. Evidence: monitor explain f-1" {
		t.Errorf("last block %+v", got.Blocks.BlockSet[len(got.Blocks.BlockSet)-1])
	}
}
