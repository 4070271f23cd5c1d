package main

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// isCT reports whether a log is one of certificates.
func (k knownLog) isCT() bool { return k.kind == kindCT || k.kind == kindCTStatic }

// standing is what a trusted root and the configuration say of a log, which is read with a watch list.
func (k knownLog) standing(watchList string) audit.LogStanding {
	s := audit.LogStanding{Frozen: k.frozen, NotFollowed: k.skipped != "", Why: k.skipped, LogKind: k.kind, WatchList: watchList}
	if k.frozen {
		s.EndedAt = k.log.ValidityPeriodEnd
	}
	return s
}

// certificates holds the CT logs to what they promised: every certificate that an entry or a bundle shows is looked up in
// them, once.
func (r *followRun) certificates(ctx context.Context, known []knownLog, client *fetch.Client) (audit.PromiseSummary, error) {
	promises := &audit.Promises{Store: r.record, Roots: r.set, Delay: ruleSet(r.cfg)[audit.UnloggedCertificate].Grace, Clock: r.app.clock, Logger: r.logger}
	for _, k := range known {
		if !k.isCT() {
			continue
		}
		log := audit.PromisingLog{ID: hex.EncodeToString(k.log.ID), Key: k.log.PublicKey, Skipped: k.skipped}
		if k.skipped == "" {
			source, err := logSource(k, client)
			if err != nil {
				return audit.PromiseSummary{}, err
			}
			finder, ok := source.(ctlog.Finder)
			if !ok {
				return audit.PromiseSummary{}, fmt.Errorf("log %s of kind %s cannot be asked for what it promised", k.origin, k.kind)
			}
			log.Finder = finder
		}
		promises.Logs = append(promises.Logs, log)
	}
	return promises.Run(ctx)
}

// shownSince looks up what the audit of releases has shown since the logs were followed, and judges again if anything came
// of it.
func (r *followRun) shownSince(ctx context.Context, answer *followAnswer) error {
	known, err := r.app.knownLogs(r.cfg, r.set)
	if err != nil {
		return err
	}
	client := r.logClient(known)
	asked := client.Requests()
	before := answer.Certificates
	if answer.Certificates, err = r.certificates(ctx, known, client); err != nil {
		return err
	}
	answer.Requests = mergeCounts(answer.Requests, since(asked, client.Requests()))
	changed := answer.Certificates.Changed()
	answer.Certificates.Read += before.Read
	answer.Certificates.Found += before.Found
	answer.Certificates.Missing += before.Missing
	answer.Certificates.Troubles = append(before.Troubles, answer.Certificates.Troubles...)
	if !changed {
		return nil
	}
	return r.settle(ctx, known, answer)
}

// printCertificates says what holding the CT logs to their promises gave, where there is something to say.
func (a *app) printCertificates(s audit.PromiseSummary) {
	if s.Read+s.Found+s.Missing > 0 {
		line(a.stdout, "certificates: %d seen for the first time; %d found in the logs that promised them, %d not there", s.Read, s.Found, s.Missing)
	}
	if s.Pending > 0 {
		line(a.stdout, "  unknown: %s, not looked up yet in the CT log that made the promise", plural(s.Pending, "certificate"))
	}
	if s.NotAsked > 0 {
		line(a.stdout, "  not looked at: %s, in a CT log that is switched off or unknown", plural(s.NotAsked, "certificate"))
	}
	for _, t := range s.Troubles {
		line(a.stdout, "  unknown: %s", t)
	}
}
