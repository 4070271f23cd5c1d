package sandbox

import (
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Slack takes messages at an incoming webhook as Slack does (docs.slack.dev, "Sending messages using incoming
// webhooks") and keeps them in order.
type Slack struct {
	*Service
	path string // of the webhook; it is the secret

	mu       sync.Mutex
	messages []Message
}

// Message is one message that was taken.
type Message struct {
	Text string
	// Blocks and Attachments are as posted; nil where there are none.
	Blocks, Attachments jsontext.Value
	// Body is all that was posted.
	Body []byte
}

func newSlack(e entropy) *Slack {
	return &Slack{path: "/services/T00000000/B00000000/" + hex.EncodeToString(e.bytes("slack/webhook", 12))}
}

// WebhookURL is where messages go; it needs a started world.
func (s *Slack) WebhookURL() string { return s.URL() + s.path }

// Messages lists what was taken so far.
func (s *Slack) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *Slack) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != s.path {
			reply(w, http.StatusNotFound, "no_service")
			return
		}
		if q.Method != http.MethodPost {
			reply(w, http.StatusMethodNotAllowed, "method_not_allowed")
			return
		}
		message, ok := readMessage(w, q)
		switch {
		case !ok:
			reply(w, http.StatusBadRequest, "invalid_payload")
		case message.Text == "" && message.Blocks == nil && message.Attachments == nil:
			reply(w, http.StatusBadRequest, "no_text")
		default:
			s.mu.Lock()
			s.messages = append(s.messages, message)
			s.mu.Unlock()
			reply(w, http.StatusOK, "ok")
		}
	})
}

// readMessage reads a JSON message. Slack also takes forms with a "payload"; nobody here sends them.
func readMessage(w http.ResponseWriter, q *http.Request) (Message, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxRequestBody))
	if err != nil {
		return Message{}, false
	}
	if mediaType, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		return Message{}, false
	}
	var m struct {
		Text        string         `json:"text"`
		Blocks      jsontext.Value `json:"blocks"`
		Attachments jsontext.Value `json:"attachments"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return Message{}, false
	}
	return Message{Text: m.Text, Blocks: m.Blocks, Attachments: m.Attachments, Body: body}, true
}

// reply answers as Slack does: a word of plain text.
func reply(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, word)
}
