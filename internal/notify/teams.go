package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Teams posts Adaptive Cards to a webhook of Microsoft Teams' Workflows app ("Post to a channel when a webhook request is
// received"). The webhook's URL is a secret. Whatever comes from outside is in text runs, in which Teams interprets no Markdown;
// mentions need entities, of which a card here has none. It cannot tell what it took.
type Teams struct {
	name, address string
	client        *http.Client
}

// teamsLimit is how large a request may be: 28 KB, learn.microsoft.com, "Format cards in Microsoft Teams"; some is left to spare.
const teamsLimit = 26_000

// NewTeams checks the webhook's URL: https, or http on loopback.
func NewTeams(name, address string, client *http.Client) (*Teams, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("alerts.channels.%s.teams: the webhook is not a URL: copy it from the workflow", name)
	}
	if !secure(u) {
		return nil, fmt.Errorf("alerts.channels.%s.teams: the webhook's URL has scheme %q: use https", name, u.Scheme)
	}
	return &Teams{name, address, client}, nil
}

// Name implements Channel.
func (t *Teams) Name() string { return t.name }

// Send implements Channel.
func (t *Teams) Send(ctx context.Context, p Parcel) (string, error) {
	body, err := teamsMessage(p.Notice())
	if err != nil {
		return "", &Error{Err: err, NotTaken: true, OnlyThis: true}
	}
	a, err := exchange(ctx, t.client, http.MethodPost, t.address, http.Header{"Content-Type": {"application/json"}}, body)
	switch {
	case err != nil:
		return "", unanswered("teams", err, secretsOf(t.address)...)
	case !a.success():
		return "", refusedBy("teams", a)
	}
	return "", nil
}

// The parts of an Adaptive Card of version 1.4 (adaptivecards.io/explorer) that are used.
type (
	teamsCard struct {
		Type    string        `json:"type"`
		Schema  string        `json:"$schema"`
		Version string        `json:"version"`
		Body    []teamsBlock  `json:"body"`
		Actions []teamsAction `json:"actions,omitempty"`
	}
	teamsBlock struct {
		Type    string     `json:"type"`
		Inlines []teamsRun `json:"inlines"`
	}
	teamsRun struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Weight   string `json:"weight,omitempty"`
		Size     string `json:"size,omitempty"`
		IsSubtle bool   `json:"isSubtle,omitempty"`
	}
	teamsAction struct {
		Type  string `json:"type"`
		Title string `json:"title"`
		URL   string `json:"url"`
	}
	teamsAttachment struct {
		ContentType string    `json:"contentType"`
		Content     teamsCard `json:"content"`
	}
)

// teamsMessage renders a notice, with as many of its items as fit.
func teamsMessage(n Notice) ([]byte, error) {
	for {
		text, err := json.Marshal(map[string]any{"type": "message", "attachments": []teamsAttachment{{"application/vnd.microsoft.card.adaptive", n.teamsCard()}}})
		if err != nil || len(text) <= teamsLimit || len(n.Items) == 0 {
			return text, err
		}
		fewer := len(n.Items) * 3 / 4
		n.More += len(n.Items) - fewer
		n.Items = n.Items[:fewer]
	}
}

func (n Notice) teamsCard() teamsCard {
	card := teamsCard{Type: "AdaptiveCard", Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Version: "1.4"}
	add := func(runs ...teamsRun) {
		for i := range runs {
			runs[i].Type = "TextRun"
		}
		card.Body = append(card.Body, teamsBlock{"RichTextBlock", runs})
	}
	add(teamsRun{Text: cut(n.Title, slackHeaderLimit), Weight: "Bolder", Size: "Medium"})
	add(teamsRun{Text: cutMiddle(n.Sentence, slackProse)})
	for _, f := range n.Facts {
		add(teamsRun{Text: cutMiddle(f.Name, slackItem) + ": ", Weight: "Bolder"}, teamsRun{Text: cutMiddle(f.Value, slackValue)})
	}
	for _, line := range slackItems(n) {
		add(teamsRun{Text: line})
	}
	if n.Advice != "" {
		add(teamsRun{Text: "What to do: ", Weight: "Bolder"}, teamsRun{Text: cutMiddle(n.Advice, slackProse)})
	}
	add(teamsRun{Text: cutMiddle(n.Foot, slackValue), IsSubtle: true, Size: "Small"})
	for _, l := range n.Links {
		card.Actions = append(card.Actions, teamsAction{"Action.OpenUrl", l.Label, l.URL})
	}
	return card
}
