package notify_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/notify"
)

// mailServer is an SMTP server (RFC 5321) on loopback that answers as it is told and remembers what it took.
type mailServer struct {
	listener net.Listener
	wrap     func(net.Conn) net.Conn // TLS from the first byte; nil is none
	starttls *tls.Config             // offered where it is set

	mu      sync.Mutex
	answers map[string][]string // by command, one a session; "" hangs up; then all is well
	took    []string
	done    sync.WaitGroup
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{listener: listener, answers: map[string][]string{}}
	s.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *mailServer) close() {
	s.listener.Close()
	s.done.Wait()
}

// will has the next sessions answer a command so.
func (s *mailServer) will(command string, answers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[command] = answers
}

// mails are those that were taken.
func (s *mailServer) mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.took)
}

// answer is what to say to a command.
func (s *mailServer) answer(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.answers[command]; len(all) > 0 {
		s.answers[command] = all[1:]
		return all[0]
	}
	return usual
}

func (s *mailServer) serve(conn net.Conn) {
	if s.wrap != nil {
		conn = s.wrap(conn)
	}
	defer func() { conn.Close() }()
	r := textproto.NewReader(bufio.NewReader(conn))
	say := func(text string) bool {
		if text == "" {
			return false
		}
		_, err := fmt.Fprintf(conn, "%s\r\n", text)
		return err == nil
	}
	if !say(s.answer("CONNECT", "220 loopback ESMTP")) {
		return
	}
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		command, _, _ := strings.Cut(strings.ToUpper(line), " ")
		usual := "250 ok"
		switch command {
		case "EHLO":
			usual = "250-loopback\r\n250-8BITMIME\r\n250 AUTH PLAIN"
			if _, encrypted := conn.(*tls.Conn); s.starttls != nil && !encrypted {
				usual = "250-loopback\r\n250 STARTTLS"
			}
		case "STARTTLS":
			if !say("220 go on") {
				return
			}
			conn = tls.Server(conn, s.starttls)
			r = textproto.NewReader(bufio.NewReader(conn))
			continue
		case "AUTH":
			usual = "235 ok"
		case "QUIT":
			usual = "221 bye"
		case "DATA":
			begin := s.answer(command, "354 go on")
			if !say(begin) {
				return
			}
			if !strings.HasPrefix(begin, "354") {
				continue
			}
			body, err := r.ReadDotBytes()
			if err != nil {
				return
			}
			end := s.answer("END", "250 queued")
			if strings.HasPrefix(end, "2") || end == "" || strings.HasPrefix(end, "took ") {
				s.mu.Lock()
				s.took = append(s.took, string(body))
				s.mu.Unlock()
			}
			if !say(strings.TrimPrefix(end, "took ")) {
				return
			}
			continue
		}
		if !say(s.answer(command, usual)) || command == "QUIT" {
			return
		}
	}
}

func (s *mailServer) channel(t *testing.T, b *bench) *notify.Email {
	t.Helper()
	e, err := notify.NewEmail("mail", notify.EmailOptions{Server: s.listener.Addr().String(), Plain: true, From: "monitor@example.org", To: []string{"security@example.org"},
		Timeout: 10 * time.Second, Clock: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestMailIsWhatItShouldBe(t *testing.T) {
	s := newMailServer(t)
	b := newBench(t, 1)
	b.worker.Channels = []notify.Channel{s.channel(t, b)}
	b.settle(t, 2, []string{"mail"})
	if d := deliver(t, b); d[0].Delivered != 1 {
		t.Fatalf("delivery %+v", d[0])
	}
	b.settle(t, 1, []string{"mail"})
	deliver(t, b)
	var references []string
	for i, want := range []string{"New finding: no-provenance (high): file 1 is unsigned", "Resolved: no-provenance (high): file 1 is unsigned"} {
		m, err := mail.ReadMessage(strings.NewReader(s.mails()[i]))
		if err != nil {
			t.Fatal(err)
		}
		h := m.Header
		if h.Get("Subject") != want || h.Get("From") != "<monitor@example.org>" || h.Get("To") != "<security@example.org>" || h.Get("Auto-Submitted") != "auto-generated" ||
			h.Get("Date") != "Mon, 02 Nov 2026 09:00:00 +0000" || !strings.HasPrefix(h.Get("Message-Id"), "<msg_") {
			t.Errorf("mail %d: %v", i, h)
		}
		references = append(references, h.Get("References"))
	}
	if references[0] == "" || references[0] != references[1] {
		t.Errorf("the two are no thread: %q", references)
	}
}

func TestTroubleWithMail(t *testing.T) {
	for name, c := range map[string]struct {
		command, answer string
		delivered, took int
		repeat          bool
		problem         string
	}{
		"busy":                               {"CONNECT", "421 later", 2, 2, false, `mail: 421 "later"`},
		"no such recipient":                  {"RCPT", "550 unknown user", 2, 2, false, `550 "unknown user"`},
		"data refused":                       {"DATA", "451 later", 2, 2, false, `451 "later"`},
		"content refused":                    {"END", "554 spam", 1, 1, false, `554 "spam"`},
		"answer lost after it took effect":   {"END", "", 2, 3, true, "mail: "},
		"hung up before the end of the data": {"DATA", "", 2, 2, false, "mail: "},
		"trouble when leaving":               {"QUIT", "500 what", 2, 2, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newMailServer(t)
			b := newBench(t, 0)
			b.worker.Channels = []notify.Channel{s.channel(t, b)}
			b.settle(t, 2, []string{"mail"})
			s.will(c.command, c.answer)
			d := deliver(t, b)[0]
			if d.Delivered != c.delivered || len(s.mails()) != c.took || !strings.Contains(d.Problem, c.problem) || (c.problem == "") != (d.Problem == "") {
				t.Errorf("delivery %+v, %d mails", d, len(s.mails()))
			}
			if got := strings.Contains(strings.Join(s.mails(), ""), "sent again"); got != c.repeat {
				t.Errorf("a mail says that it may be a repeat: %t", got)
			}
			if c.repeat && headerOf(t, s.mails()[0], "Message-Id") != headerOf(t, s.mails()[1], "Message-Id") {
				t.Error("the repeat has another Message-ID")
			}
		})
	}
}

func headerOf(t *testing.T, body, name string) string {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get(name)
}

func TestMailsPasswordIsASecret(t *testing.T) {
	s := newMailServer(t)
	b := newBench(t, 0)
	for name, plain := range map[string]bool{"no STARTTLS": false, "refused": true} {
		e, err := notify.NewEmail("mail", notify.EmailOptions{Server: s.listener.Addr().String(), Plain: plain, From: "monitor@example.org", To: []string{"security@example.org"},
			User: "monitor", Password: "topsecret", Timeout: 10 * time.Second, Clock: b.clock})
		if err != nil {
			t.Fatal(err)
		}
		s.will("AUTH", "535 topsecret is wrong")
		_, err = e.Send(context.Background(), single(notify.Message{At: start}))
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), "topsecret") || len(s.mails()) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostileTextIsHarmlessInMail(t *testing.T) {
	for name, p := range hostileParcels() {
		s := newMailServer(t)
		b := newBench(t, 0)
		if _, err := s.channel(t, b).Send(context.Background(), p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m, err := mail.ReadMessage(strings.NewReader(s.mails()[0]))
		if err != nil {
			t.Fatal(err)
		}
		for header := range m.Header {
			switch header {
			case "Subject", "From", "To", "Date", "Message-Id", "References", "In-Reply-To", "Auto-Submitted", "Mime-Version", "User-Agent", "X-Mailer", "Content-Type", "Content-Transfer-Encoding":
			default:
				t.Errorf("%s: it has a header %q", name, header)
			}
		}
		if kind := m.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%s: it is %s", name, kind)
		}
	}
}
