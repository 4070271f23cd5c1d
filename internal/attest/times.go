package attest

import (
	"bytes"
	"errors"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// checkTimestamps verifies every RFC 3161 timestamp over the signature. As with log entries, a bad one beside a good one
// is still bad.
func (r *run) checkTimestamps(ev *evidence) {
	if len(ev.timestamps) == 0 {
		r.skip(CheckTimestamp, "the bundle has none")
		return
	}
	sig := ev.message.GetSignature()
	if sigs := ev.envelope.GetSignatures(); len(sigs) > 0 {
		sig = sigs[0].GetSig()
	}
	authorities := r.v.material.TimestampingAuthorities()
	for _, raw := range ev.timestamps {
		ts, err := verifyTimestamp(authorities, raw, sig)
		if err != nil && isForeign(authorities, raw) {
			// Not wrong: unknown. A public-good bundle may well carry another authority's timestamp as well.
			r.unsupported(CheckTimestamp, "the timestamp is by an authority that no trusted root has")
			continue
		}
		if err != nil {
			r.fail(CheckTimestamp, "no trusted authority vouches for the timestamp: %v", err)
			continue
		}
		r.pass(CheckTimestamp, "%s %s", ts.URI, stamp(ts.Time))
		r.res.Timestamps = append(r.res.Timestamps, Timestamp{Authority: ts.URI, Time: ts.Time.UTC()})
		r.times = append(r.times, ts.Time)
	}
}

func verifyTimestamp(authorities []root.TimestampingAuthority, raw, sig []byte) (*root.Timestamp, error) {
	errs := []error{errors.New("none of the trusted roots' authorities made it")}
	for _, a := range authorities {
		ts, err := a.Verify(raw, sig)
		if err == nil {
			return ts, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// isForeign tells whether a well-formed timestamp names a signer that is no trusted authority's certificate. Where an
// authority's certificate is not known, nothing can be told, and it is false.
func isForeign(authorities []root.TimestampingAuthority, raw []byte) bool {
	ts, err := timestamp.ParseResponse(raw)
	if err != nil {
		return false
	}
	token, err := pkcs7.Parse(ts.RawToken)
	if err != nil || len(token.Signers) != 1 {
		return false
	}
	signer := token.Signers[0].IssuerAndSerialNumber
	for _, a := range authorities {
		tsa, ok := a.(*root.SigstoreTimestampingAuthority)
		if !ok || tsa.Leaf == nil || signer.SerialNumber == nil {
			return false
		}
		if bytes.Equal(tsa.Leaf.RawIssuer, signer.IssuerName.FullBytes) && tsa.Leaf.SerialNumber.Cmp(signer.SerialNumber) == 0 {
			return false
		}
	}
	return true
}

// checkTimes checks the times against each other, the certificate, the logs' keys and now.
func (r *run) checkTimes(ev *evidence) {
	for _, t := range r.times {
		if r.res.SignedAt.IsZero() || t.Before(r.res.SignedAt) {
			r.res.SignedAt = t.UTC()
		}
	}
	if len(r.times) == 0 {
		r.fail(CheckSigningTime, "neither a log nor a timestamp authority vouches for when it was signed")
	} else {
		r.pass(CheckSigningTime, "%s", stamp(r.res.SignedAt))
	}
	for _, e := range r.res.Entries {
		r.checkIntegratedTime(&e)
	}
	for _, e := range r.res.Entries {
		r.checkLogValidity(&e)
	}
}

func (r *run) checkIntegratedTime(e *Entry) {
	if e.IntegratedTime.IsZero() {
		r.skip(CheckIntegratedTime, "the entry has none")
		return
	}
	if now := r.v.opts.Now(); e.IntegratedTime.After(now) {
		r.differ(CheckIntegratedTime, stamp(e.IntegratedTime), "at most "+stamp(now), "the entry claims a time that is still to come")
		return
	}
	if c := r.res.Certificate; c != nil && !within(e.IntegratedTime, c.NotBefore, c.NotAfter) {
		r.differ(CheckIntegratedTime, stamp(e.IntegratedTime), stamp(c.NotBefore)+" to "+stamp(c.NotAfter), "the entry was logged outside the certificate's validity")
		return
	}
	r.pass(CheckIntegratedTime, "%s", stamp(e.IntegratedTime))
}

// checkLogValidity asks whether the trusted root lets the log's key sign at that time. Both ends count as within
// (protobuf-specs, TimeRange).
func (r *run) checkLogValidity(e *Entry) {
	log := r.v.logs[e.LogID]
	at := r.res.SignedAt
	if e.SETVerified {
		at = e.IntegratedTime
	}
	if log == nil || at.IsZero() {
		r.skip(CheckLogValidity, "without the log's key or a trusted time")
		return
	}
	end := log.ValidityPeriodEnd
	if log.ValidityPeriodStart.IsZero() || !within(at, log.ValidityPeriodStart, end) {
		want := stamp(log.ValidityPeriodStart) + " on"
		if !end.IsZero() {
			want = stamp(log.ValidityPeriodStart) + " to " + stamp(end)
		}
		r.differ(CheckLogValidity, stamp(at), want, "the log's key was not valid when the entry was made")
		return
	}
	r.pass(CheckLogValidity, "")
}

// within is inclusive at both ends; a zero end is open.
func within(t, start, end time.Time) bool {
	return !t.Before(start) && (end.IsZero() || !t.After(end))
}
