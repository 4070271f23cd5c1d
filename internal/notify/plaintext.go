package notify

import (
	"net"
	"net/url"
	"strings"
)

// maxText bounds the values of a text that may be long, in characters.
const maxText = 2000

// asItIs is no escaping, for where nothing is interpreted.
func asItIs(s string) string { return s }

// text is a notice as lines of plain text, its values of at most limit characters. escape is applied to whatever comes from
// outside.
func (n Notice) text(limit int, escape func(string) string) string {
	var b strings.Builder
	line := func(parts ...string) {
		for _, part := range parts {
			b.WriteString(part)
		}
		b.WriteByte('\n')
	}
	line(escape(cutMiddle(n.Sentence, limit)))
	line()
	for _, f := range n.Facts {
		line(escape(f.Name), ": ", escape(cutMiddle(f.Value, limit)))
	}
	for _, i := range n.Items {
		line("- ", i.ID, " ", escape(cutMiddle(i.Text, min(limit, 2*slackItem))))
	}
	if n.More > 0 {
		line("- and ", plural(n.More, "more finding"))
	}
	for _, l := range n.Links {
		line(l.Label, ": ", l.URL)
	}
	if n.Advice != "" {
		line()
		line("What to do: ", escape(cutMiddle(n.Advice, 2*limit)))
	}
	line()
	line(n.Foot)
	return b.String()
}

// secure reports whether a URL is https, or http on loopback.
func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}
