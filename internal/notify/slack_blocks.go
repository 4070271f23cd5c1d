package notify

import (
	"strings"

	"github.com/slack-go/slack"
)

// Slack's limits, in characters: a section's text, a field's text, a header's text; and in number: the fields of a section.
// docs.slack.dev, "Block Kit", each block's page.
const (
	slackSectionLimit = 3000
	slackFieldLimit   = 2000
	slackHeaderLimit  = 150
	slackFieldsLimit  = 10
)

// What a message keeps of each part, in characters. It is less than each limit, because Slack also refuses a message whose
// blocks are too long together (msg_blocks_too_long); what is cut keeps both its ends.
const (
	slackValue = 400
	slackProse = 1200
	slackItem  = 120
)

// slackBlocks renders a notice in Block Kit. Whatever comes from outside (names, identities, reasons) is in plain_text
// objects, in which Slack interprets neither mentions nor links nor formatting. Only links, which are built from checked
// parts, are in mrkdwn.
func slackBlocks(n Notice) []slack.Block {
	plain := func(s string, limit int) *slack.TextBlockObject {
		return slack.NewTextBlockObject(slack.PlainTextType, cut(s, limit), false, false)
	}
	section := func(text *slack.TextBlockObject) slack.Block { return slack.NewSectionBlock(text, nil, nil) }
	blocks := []slack.Block{
		slack.NewHeaderBlock(plain(n.Title, slackHeaderLimit)),
		section(plain(cutMiddle(n.Sentence, slackProse), slackSectionLimit)),
	}
	var fields []*slack.TextBlockObject
	for _, f := range n.Facts {
		fields = append(fields, plain(cutMiddle(f.Name, slackItem)+"\n"+cutMiddle(f.Value, slackValue), slackFieldLimit))
	}
	for len(fields) > 0 {
		some := fields[:min(len(fields), slackFieldsLimit)]
		fields = fields[len(some):]
		blocks = append(blocks, slack.NewSectionBlock(nil, some, nil))
	}
	const linesASection = 20
	for lines := slackItems(n); len(lines) > 0; {
		some := lines[:min(len(lines), linesASection)]
		lines = lines[len(some):]
		blocks = append(blocks, section(plain(strings.Join(some, "\n"), slackSectionLimit)))
	}
	if len(n.Links) > 0 {
		blocks = append(blocks, section(slack.NewTextBlockObject(slack.MarkdownType, slackLinks(n.Links), false, true)))
	}
	if n.Advice != "" {
		blocks = append(blocks, section(plain("What to do: "+cutMiddle(n.Advice, slackProse), slackSectionLimit)))
	}
	return append(blocks, slack.NewContextBlock("", plain(n.Foot, slackFieldLimit)))
}

// slackItems are the lines of the findings that a message lists.
func slackItems(n Notice) []string {
	var lines []string
	for _, i := range n.Items {
		lines = append(lines, cutMiddle(i.Text, slackItem)+" ("+i.ID+")")
	}
	if n.More > 0 {
		lines = append(lines, "and "+plural(n.More, "more finding"))
	}
	return lines
}

// slackLinks joins links in mrkdwn.
func slackLinks(links []Link) string {
	var all []string
	for _, l := range links {
		all = append(all, "<"+l.URL+"|"+l.Label+">")
	}
	return strings.Join(all, "  ·  ")
}

// slackText is what notifications show of a message. It is mrkdwn, so the three characters that could start a mention or a
// link are escaped.
func slackText(n Notice) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	return escape.Replace(cut(n.Title+": "+n.Sentence, slackProse))
}
