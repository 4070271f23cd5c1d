package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Email sends plain text by SMTP. All mails about a finding refer to one id, so that mail programs show them as a thread, and
// a repeat has the Message-ID of the mail that it repeats, so that servers can drop it. The password is a secret.
type Email struct {
	name string
	o    EmailOptions
	host string
	port int
	tls  *tls.Config
}

// EmailOptions are an SMTP server and who writes to whom.
type EmailOptions struct {
	Server string // HOST:PORT
	// Implicit has TLS from the first byte; else STARTTLS is demanded, unless Plain says that there is none.
	Implicit, Plain bool
	// TLS replaces what the system trusts; nil leaves it.
	TLS            *tls.Config
	From           string
	To             []string
	User, Password string
	Timeout        time.Duration
	Clock          clock.Clock
}

// NewEmail makes the channel.
func NewEmail(name string, o EmailOptions) (*Email, error) {
	host, text, err := net.SplitHostPort(o.Server)
	if err != nil {
		return nil, fmt.Errorf("alerts.channels.%s.email: %w", name, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("alerts.channels.%s.email: %q is not a port", name, text)
	}
	config := o.TLS
	if config == nil {
		config = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	return &Email{name: name, o: o, host: host, port: port, tls: config}, nil
}

// Name implements Channel.
func (e *Email) Name() string { return e.name }

// Send implements Channel.
func (e *Email) Send(ctx context.Context, p Parcel) (string, error) {
	m, err := e.message(p)
	if err != nil {
		return "", &Error{Err: fmt.Errorf("mail: %w", err), NotTaken: true, OnlyThis: true}
	}
	// The connection is closed here: the library leaves it open where it cannot log in.
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close() // it was closed already, where all went well
		}
	}()
	client, err := e.client(func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = e.dial(ctx, network, address)
		return conn, err
	})
	if err != nil {
		return "", &Error{Err: errors.New("mail: " + redact(err.Error(), e.o.Password)), NotTaken: true}
	}
	if err := client.DialWithContext(ctx); err != nil {
		return "", &Error{Err: errors.New("mail: " + redact(err.Error(), e.o.Password)), NotTaken: true}
	}
	sent := client.Send(m)
	closed := client.Close()
	if m.IsDelivered() {
		return "", nil // whatever went wrong when the server was left
	}
	return "", e.known(errors.Join(sent, closed))
}

// known says what is known about a failure: before the end of the data the server took nothing, and after it only where it
// did not answer it may have.
func (e *Email) known(err error) error {
	known := &Error{Err: errors.New("mail: " + redact(err.Error(), e.o.Password)), NotTaken: true}
	var failure *mail.SendError
	if !errors.As(err, &failure) {
		known.NotTaken = false
		return known
	}
	switch failure.Reason {
	case mail.ErrSMTPDataClose, mail.ErrSMTPReset:
		known.NotTaken = failure.ErrorCode() != 0
		known.OnlyThis = failure.ErrorCode() == 552 || failure.ErrorCode() == 554 // too large, or its content refused
	}
	return known
}

// dial connects, with TLS from the first byte where that is wanted.
func (e *Email) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: e.o.Timeout}
	if e.o.Implicit {
		return (&tls.Dialer{NetDialer: dialer, Config: e.tls}).DialContext(ctx, network, address)
	}
	return dialer.DialContext(ctx, network, address)
}

// client makes a client for one mail over a connection that dial makes.
func (e *Email) client(dial mail.DialContextFunc) (*mail.Client, error) {
	options := []mail.Option{mail.WithDialContextFunc(dial), mail.WithPort(e.port), mail.WithTLSConfig(e.tls), mail.WithTimeout(e.o.Timeout), mail.WithoutNoop()}
	switch {
	case e.o.Implicit:
		options = append(options, mail.WithSSL())
	case e.o.Plain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if e.o.User != "" {
		method := mail.SMTPAuthAutoDiscover
		if e.o.Implicit {
			method = mail.SMTPAuthPlain // the library does not see that a connection which it did not make is encrypted
		}
		options = append(options, mail.WithSMTPAuth(method), mail.WithUsername(e.o.User), mail.WithPassword(e.o.Password))
	}
	return mail.NewClient(e.host, options...)
}

// message is the mail. Its headers hold no text from outside but the subject, which has neither line breaks nor other control
// characters.
func (e *Email) message(p Parcel) (*mail.Msg, error) {
	const subject = 200
	n := p.Notice()
	m := mail.NewMsg()
	if err := m.From(e.o.From); err != nil {
		return nil, err
	}
	if err := m.To(e.o.To...); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(e.o.From, "@")
	m.Subject(cutMiddle(n.Title+": "+n.Sentence, subject))
	m.SetDateWithValue(e.o.Clock.Now())
	m.SetMessageIDWithValue(p.ID() + "@" + domain)
	if p.Form == Single {
		thread := "<" + p.Lead().Finding.ID + ".finding@" + domain + ">"
		m.SetGenHeader(mail.HeaderReferences, thread)
		m.SetGenHeader(mail.HeaderInReplyTo, thread)
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, n.text(maxText, asItIs))
	return m, nil
}
