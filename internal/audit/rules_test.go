package audit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// ruleCase is a rule, facts that it is about, and their nearest neighbours that it must not be about.
type ruleCase struct {
	rule string
	// wrong are facts for which the rule's condition holds since an instant.
	wrong func(j *Judge, since time.Time) Assessment
	// fine are the same facts but for what makes them wrong, by what that is.
	fine map[string]func(j *Judge, since time.Time) Assessment
}

// aFile is a judgement of a file that is like a good release's but for an edit.
func aFile(edit func(f *FileFacts, since time.Time)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		f := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "")
		f.FirstSeen, f.UploadedAt = since, since
		slsa := f.Provenance.Document.Attestations[0]
		slsa.PredicateType, slsa.Index = attest.PredicateSLSA, 1
		f.Provenance.Document.Attestations = append(f.Provenance.Document.Attestations, slsa)
		edit(&f, since)
		return j.File(pypiProject("pypi/onnx"), f).Assessment
	}
}

// anAttestation edits the publish attestation of such a file.
func anAttestation(edit func(at *AttestationFacts)) func(*Judge, time.Time) Assessment {
	return aFile(func(f *FileFacts, _ time.Time) { edit(&f.Provenance.Document.Attestations[0]) })
}

// by is a file that a run published, as the index's record says too.
func by(r run) func(*Judge, time.Time) Assessment {
	return anAttestation(func(at *AttestationFacts) {
		at.Identity, at.Publisher.Workflow, at.Publisher.Environment = r.identity(), r.workflow, r.environment
	})
}

// failing is an attestation that does not verify for a check.
func failing(name, got string) func(*Judge, time.Time) Assessment {
	return anAttestation(func(at *AttestationFacts) {
		at.Status = attest.Failed
		at.Checks = []attest.Check{{Name: attest.CheckParse, Status: attest.Pass}, {Name: name, Status: attest.Fail, Detail: "not as it should be", Got: got, Want: "x"}}
	})
}

// aProject is a judgement of a PyPI project.
func aProject(edit func(p *ProjectFacts, since time.Time) []FileFacts) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		p := pypiProject("pypi/onnx")
		p.Status = "active"
		return j.Project(p, edit(&p, since))
	}
}

// aLog is a judgement of a log.
func aLog(edit func(l *LogFacts, since time.Time)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		l := LogFacts{Origin: "log.example", Known: true, GrewAt: j.Now, CheckedAt: j.Now, Latest: 10}
		edit(&l, since)
		return j.Log(l)
	}
}

func incident(rule string) func(*Judge, time.Time) Assessment {
	return aLog(func(l *LogFacts, since time.Time) {
		l.Incidents = []Incident{{Kind: rule, FirstSeen: since, Detail: "as told", Evidence: []byte("{}")}}
	})
}

// aHit is a judgement of a leaf with one chained certificate of a release.
func aHit(edit func(h *LogHit)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		id := run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}.identity()
		h := LogHit{Kind: HitEntry, Project: "onnx", Class: "self",
			Certificates: []HitCert{{Match: identity.WatchMatch{Class: identity.WatchSelf, Project: "onnx"}, TBSSHA256: "tbs", Identity: id, Chained: true}}}
		edit(&h)
		return j.Hit(HitFacts{Origin: "log.example", Index: 7, LeafHash: "aa", FirstSeen: since, LogHit: h}, map[string]identity.Policy{"onnx": j.Policy})
	}
}

func ruleCases() []ruleCase {
	type neighbours = map[string]func(*Judge, time.Time) Assessment
	nothing := func(*FileFacts, time.Time) {}
	bare := func(f *FileFacts) { f.Provenance = ProvenanceFacts{State: ProvenanceNone} }
	return []ruleCase{
		{rule: NoProvenance,
			wrong: aFile(func(f *FileFacts, _ time.Time) { bare(f) }),
			fine: neighbours{
				"attested":      aFile(nothing),
				"legacy":        aFile(func(f *FileFacts, _ time.Time) { bare(f); f.Version, f.UploadedAt = "1.18.0", noon.AddDate(-3, 0, 0) }),
				"untold":        aFile(func(f *FileFacts, _ time.Time) { bare(f); f.Provenance.State = ProvenanceUntold }),
				"not asked for": aFile(func(f *FileFacts, _ time.Time) { bare(f); f.Provenance.State = ProvenancePending }),
				"refused": aFile(func(f *FileFacts, since time.Time) {
					bare(f)
					f.Provenance.State, f.Provenance.Since = ProvenanceForbidden, since
				}),
				"already failed": failing(attest.CheckSignature, ""),
			}},
		{rule: InvalidAttestation, wrong: failing(attest.CheckSignature, ""),
			fine: neighbours{
				"verified": aFile(nothing), "another rule's check": failing(attest.CheckEntries, ""),
				"unsupported": anAttestation(func(at *AttestationFacts) { at.Status = attest.Unsupported })}},
		{rule: DigestMismatch, wrong: failing(attest.CheckSubject, "sha256:00"),
			fine: neighbours{
				"about several files":   failing(attest.CheckSubject, "2 subjects"),
				"downloaded as listed":  aFile(func(f *FileFacts, since time.Time) { f.DeepSHA256, f.DeepCheckedAt = f.SHA256, since }),
				"about another's file":  failing(attest.CheckSubjectName, "other.whl"),
				"not downloaded at all": aFile(nothing)}},
		{rule: UnexpectedIdentity,
			wrong: by(run{"evil.yml", "refs/heads/main", "push", ""}),
			fine:  neighbours{"a release": aFile(nothing), "a build": by(run{"create_release.yml", "refs/heads/main", "push", ""})}},
		{rule: WrongGrade,
			wrong: by(run{"create_release.yml", "refs/pull/1/merge", "pull_request", ""}),
			fine: neighbours{"a release": aFile(nothing),
				"a stranger": anAttestation(func(at *AttestationFacts) { at.Identity.SourceRepositoryURI = "https://github.com/stranger/onnx" })}},
		{rule: PublisherMismatch,
			wrong: anAttestation(func(at *AttestationFacts) { at.Publisher.Environment = "pypi-weekly" }),
			fine: neighbours{"the same": aFile(nothing),
				"in another case": anAttestation(func(at *AttestationFacts) { at.Publisher.Repository = "ONNX/onnx" }),
				"no record":       anAttestation(func(at *AttestationFacts) { at.Publisher = attest.Publisher{} }),
				"unknown kind":    anAttestation(func(at *AttestationFacts) { at.Publisher = attest.Publisher{Kind: "Buildkite"} })}},
		{rule: PredicateMismatch,
			wrong: anAttestation(func(at *AttestationFacts) {
				at.PredicateType, at.PredicateError = attest.PredicateSLSA, "it has no builder"
			}),
			fine: neighbours{"as the certificate says": aFile(nothing), "another check": failing(attest.CheckStatement, "")}},
		{rule: MissingSLSAProvenance,
			wrong: published(func(*FileFacts, time.Time) {}),
			fine: neighbours{"there": aFile(nothing),
				"not due": published(func(f *FileFacts, _ time.Time) { f.Version, f.UploadedAt = "1.21.0", noon.AddDate(-1, 0, 0) }),
				"in the store": published(func(f *FileFacts, _ time.Time) {
					f.Store.State, f.Store.Bundles = StoreServed, []BundleFacts{bundled(release122, nil)}
				}),
				"met with another file": published(func(f *FileFacts, _ time.Time) {
					f.Store = StoreFacts{Bundles: []BundleFacts{bundled(release122, nil)}}
				}),
				"not asked for":      published(func(f *FileFacts, _ time.Time) { f.Store = StoreFacts{} }),
				"not answered":       published(func(f *FileFacts, since time.Time) { f.Store = StoreFacts{FailingSince: since, Failure: "502"} }),
				"asked for too soon": published(func(f *FileFacts, since time.Time) { f.Store.CheckedAt = since.Add(2*time.Hour - time.Second) }),
				"not verifiable": published(func(f *FileFacts, _ time.Time) {
					f.Store.State, f.Store.Bundles = StoreServed, []BundleFacts{bundled(release122, func(at *AttestationFacts) {
						at.Status, at.Checks = attest.Unsupported, []attest.Check{{Name: attest.CheckCertificate, Status: attest.NotSupported, Detail: "GitHub's own"}}
					})}
				})}},
		{rule: NotInPublicLog,
			wrong: published(func(f *FileFacts, _ time.Time) {
				f.Store.Bundles = []BundleFacts{bundled(release122, func(at *AttestationFacts) { at.Unlogged, at.Identity.SourceRepositoryVisibility = true, "public" })}
			}),
			fine: neighbours{"in a log": aFile(nothing),
				"of a private repository": published(func(f *FileFacts, _ time.Time) {
					f.Store.Bundles = []BundleFacts{bundled(release122, func(at *AttestationFacts) { at.Unlogged, at.Identity.SourceRepositoryVisibility = true, "private" })}
				}),
				"of a release": published(func(f *FileFacts, _ time.Time) {
					f.Store.Bundles = []BundleFacts{bundled(release122, func(at *AttestationFacts) { at.Unlogged, at.Release = true, true })}
				})}},
		{rule: RepositoryIDMismatch,
			wrong: aRepository(func(r *RepositoryFacts) { r.ID = "666" }),
			fine: neighbours{"the same": aRepository(func(*RepositoryFacts) {}),
				"renamed":      aRepository(func(r *RepositoryFacts) { r.Current = "onnx/onnx2" }),
				"not answered": aRepository(func(r *RepositoryFacts) { *r = RepositoryFacts{Name: r.Name, FailingSince: noon, Failure: "404"} })}},
		{rule: UnloggedAttestation, wrong: failing(attest.CheckEntries, ""),
			fine: neighbours{"logged": aFile(nothing), "an entry that is another's": failing(attest.CheckEntryBody, "")}},
		{rule: ProvenanceRemoved,
			wrong: aFile(func(f *FileFacts, since time.Time) {
				f.Provenance.State, f.Provenance.Since = ProvenanceNotFound, since
			}),
			fine: neighbours{"served": aFile(nothing),
				"never served": aFile(func(f *FileFacts, since time.Time) {
					bare(f)
					f.Provenance.State, f.Provenance.Since = ProvenanceNotFound, since
				}),
				"not answered": aFile(func(f *FileFacts, since time.Time) { f.Provenance.FailingSince = since }),
				"file removed": aFile(func(f *FileFacts, since time.Time) { f.Provenance.State, f.RemovedAt = ProvenanceNone, since })}},
		{rule: ProvenanceReplaced,
			wrong: aFile(func(f *FileFacts, since time.Time) {
				f.Provenance.Previous, f.Provenance.Document.FirstSeen = &DocumentFacts{SHA256: "ce"}, since
			}),
			fine: neighbours{"the first": aFile(nothing)}},
		{rule: FileReplaced,
			wrong: aFile(func(f *FileFacts, since time.Time) { f.ReplacedAt, f.ReplacedBy = since, "ac" }),
			fine:  neighbours{"there": aFile(nothing), "removed": aFile(func(f *FileFacts, since time.Time) { f.RemovedAt = since })}},
		{rule: FileRemoved,
			wrong: aFile(func(f *FileFacts, since time.Time) { f.MissingSince, f.RemovedAt = since, since }),
			fine: neighbours{"there": aFile(nothing),
				"missing once": aFile(func(f *FileFacts, since time.Time) { f.MissingSince = since }),
				"replaced":     aFile(func(f *FileFacts, since time.Time) { f.RemovedAt, f.ReplacedAt = since, since }),
				"expected": func(j *Judge, since time.Time) Assessment {
					expecting := *j
					expecting.RemovalsExpected = true
					return aFile(func(f *FileFacts, since time.Time) { f.RemovedAt = since })(&expecting, since)
				}}},
		{rule: ReleaseYanked, wrong: aRelease(func(f *FileFacts) { f.Yanked = true }),
			fine: neighbours{"there": aRelease(func(*FileFacts) {}), "yanked and removed": aRelease(func(f *FileFacts) { f.Yanked, f.RemovedAt = true, noon })}},
		{rule: ProjectQuarantined,
			wrong: aProject(func(p *ProjectFacts, since time.Time) []FileFacts {
				p.Status, p.ChangedAt = StatusQuarantined, since
				return nil
			}),
			fine: neighbours{"active": aProject(func(*ProjectFacts, time.Time) []FileFacts { return nil }), "archived": aProject(func(p *ProjectFacts, _ time.Time) []FileFacts {
				p.Status = "archived"
				return nil
			})}},
		{rule: OwnershipChanged,
			wrong: aProject(func(p *ProjectFacts, since time.Time) []FileFacts {
				p.Ownership = []OwnershipFact{{SHA256: "00", Body: []byte("{}")}, {SHA256: "01", Body: []byte("{}"), FirstSeen: since}}
				return nil
			}),
			fine: neighbours{"known since the first answer": aProject(func(p *ProjectFacts, since time.Time) []FileFacts {
				p.Ownership = []OwnershipFact{{SHA256: "00", Body: []byte("{}"), FirstSeen: since}}
				return nil
			}), "not known": aProject(func(*ProjectFacts, time.Time) []FileFacts { return nil })}},
		{rule: SourceUnreachable,
			wrong: aProject(func(_ *ProjectFacts, since time.Time) []FileFacts {
				return []FileFacts{{Provenance: ProvenanceFacts{FailingSince: since.Add(time.Minute)}}, {Provenance: ProvenanceFacts{FailingSince: since}}}
			}),
			fine: neighbours{"answers": aProject(func(p *ProjectFacts, since time.Time) []FileFacts { p.CheckedAt = since; return nil })}},
		{rule: CoverageGap,
			wrong: aFile(func(f *FileFacts, _ time.Time) { f.NameError = "no version in it" }),
			fine:  neighbours{"all is known": aFile(nothing), "removed": aFile(func(f *FileFacts, since time.Time) { f.NameError, f.RemovedAt = "no version in it", since })}},
		{rule: RunMismatch,
			wrong: aRun(func(f *RunFacts) { f.Run.HeadSHA = "0ddba11" }),
			fine: neighbours{
				"the same": aRun(func(*RunFacts) {}),
				"a pull request's": aRun(func(f *RunFacts) {
					f.Run.HeadSHA, f.Run.Event, f.Identity.BuildTrigger = "0ddba11", "pull_request", "pull_request"
				}),
				"deleted since it was seen": aRun(func(f *RunFacts) { f.AbsentSince = f.CheckedAt }),
				"too old": aRun(func(f *RunFacts) {
					f.Run, f.AbsentSince, f.NotBefore = github.Run{}, f.CheckedAt, f.CheckedAt.AddDate(0, 0, -90)
				}),
				"not answered": aRun(func(f *RunFacts) {
					f.Run, f.CheckedAt, f.FailingSince, f.Failure = github.Run{}, time.Time{}, f.CheckedAt, "502"
				})}},
		{rule: UnloggedCertificate,
			wrong: aPromise(func(p *PromiseFacts, since time.Time) { p.PromisedAt = since }),
			fine: neighbours{
				"not asked for since": aPromise(func(p *PromiseFacts, since time.Time) {
					p.PromisedAt, p.TreeHeadAt = since, since.Add(24*time.Hour-time.Millisecond)
				}),
				"unknown":          aPromise(func(p *PromiseFacts, since time.Time) { p.PromisedAt, p.Outcome = since, LookupUnknown }),
				"not to be asked":  aPromise(func(p *PromiseFacts, since time.Time) { p.PromisedAt, p.Outcome = since, LookupNotAsked }),
				"of a strange log": aPromise(func(p *PromiseFacts, since time.Time) { p.PromisedAt, p.Outcome = since, LookupNoSuchLog })}},
		{rule: UnaccountedCertificate, wrong: aCertificate(func(*CertificateFacts, []LogFacts) {}),
			fine: neighbours{
				"named by an entry":       aCertificate(func(c *CertificateFacts, _ []LogFacts) { c.Entries = 1 }),
				"named by an attestation": aCertificate(func(c *CertificateFacts, _ []LogFacts) { c.Attestations = 1 }),
				"a build's, with v1 unread": aCertificate(func(c *CertificateFacts, _ []LogFacts) {
					c.Identity = run{"create_release.yml", "refs/heads/main", "push", ""}.identity()
				}),
				"another project's": aCertificate(func(c *CertificateFacts, _ []LogFacts) { c.Project = "widget" })}},
		{rule: UnaccountedEntry, wrong: aJob(func(*JobFacts) {}),
			fine: neighbours{"provenance, perhaps": aJob(func(f *JobFacts) { f.Open = 1 }), "in a file, perhaps": aJob(func(f *JobFacts) { f.Unread = 1 })}},
		{rule: UnchainedCertificate, wrong: aHit(func(h *LogHit) { h.Certificates[0].Chained = false }), fine: neighbours{"chained": aHit(func(*LogHit) {})}},
		{rule: LookalikeIdentity,
			wrong: aHit(func(h *LogHit) {
				h.Certificates[0].Identity = &identity.Identity{SAN: "onnx@evil.example", SANType: "email", Issuer: "https://accounts.google.com"}
			}),
			fine: neighbours{"ours": aHit(func(*LogHit) {}), "ours, unexpected": aHit(func(h *LogHit) { h.Certificates[0].Identity.BuildTrigger = "issue_comment" })}},
		{rule: ForeignSignature, wrong: strangersSignature, fine: neighbours{"nobody's": func(j *Judge, _ time.Time) Assessment { return j.Strangers(&Strangers{}) }}},
		{rule: UnreadableEntry, wrong: aHit(func(h *LogHit) { h.Kind, h.Problem = HitUnreadable, "kind x" }), fine: neighbours{"readable": aHit(func(*LogHit) {})}},
		{rule: BadCheckpoint, wrong: incident(BadCheckpoint), fine: neighbours{"honest": aLog(func(*LogFacts, time.Time) {})}},
		{rule: LogRollback, wrong: incident(LogRollback), fine: neighbours{"honest": aLog(func(*LogFacts, time.Time) {})}},
		{rule: LogFork, wrong: incident(LogFork), fine: neighbours{"honest": aLog(func(*LogFacts, time.Time) {})}},
		{rule: EntriesMismatch, wrong: incident(EntriesMismatch), fine: neighbours{"honest": aLog(func(*LogFacts, time.Time) {})}},
		{rule: SplitView, wrong: incident(SplitView), fine: neighbours{"honest": aLog(func(*LogFacts, time.Time) {})}},
		{rule: FrozenLogGrew, wrong: incident(FrozenLogGrew), fine: neighbours{"frozen": aLog(func(l *LogFacts, _ time.Time) { l.Frozen = true })}},
		{rule: StaleLog, wrong: aLog(func(l *LogFacts, since time.Time) { l.GrewAt = since }),
			fine: neighbours{"grows": aLog(func(*LogFacts, time.Time) {}), "frozen": aLog(func(l *LogFacts, since time.Time) { l.GrewAt, l.Frozen = since, true })}},
	}
}

// aPromise is a judgement of a CT log's promise that was not shown to be kept: under a tree head that is old enough the leaf is
// missing.
func aPromise(edit func(p *PromiseFacts, since time.Time)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		p := PromiseFacts{TBSSHA256: "tbs", Identity: run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}.identity(), Project: "onnx",
			Entries: 1, LogID: "c7", Origin: "ct.example", Outcome: LookupMissing, TreeHeadAt: noon.AddDate(1, 0, 0), FirstSeen: noon.AddDate(-1, 0, 0), FailingSince: noon}
		edit(&p, since)
		return j.Promise(p, map[string]identity.Policy{"onnx": j.Policy})
	}
}

// aJob is a judgement of a release's job that signed two entries more than it published; one of them may be SLSA provenance.
func aJob(edit func(f *JobFacts)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		releases := []ReleasesRead{{Ref: "pypi/onnx", Since: since.AddDate(-1, 0, 0), CheckedAt: since.AddDate(1, 0, 0)}}
		s := j.Signer(SignerFacts{ID: 1, Chained: true, Identity: run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}.identity()},
			map[string]identity.Policy{"onnx": j.Policy}, releases)
		f := JobFacts{Run: "https://github.com/onnx/onnx/actions/runs/7/attempts/1", IssuedAt: since, OpenSince: since, Open: 2, Published: true}
		edit(&f)
		return j.Job(f, s, []EntryRef{{LogRef: LogRef{Origin: "log2.example", Index: 7, GlobalIndex: 7}, LeafHash: "aa", Account: AccountOpen, FirstSeen: since}})
	}
}

// strangersSignature is a judgement of a file that somebody else signed.
func strangersSignature(j *Judge, since time.Time) Assessment {
	var s Strangers
	s.Add(ForeignFacts{EntryRef: EntryRef{LogRef: LogRef{Origin: "log2.example", Index: 7}, LeafHash: "aa", FirstSeen: since}, Chained: true,
		Identity: &identity.Identity{SAN: "somebody@example.org", Issuer: "https://accounts.google.com"}, File: AttestedFile{PyPIProject: "pypi/onnx", File: "onnx.whl"}},
		map[string]identity.Policy{"onnx": j.Policy})
	return j.Strangers(&s)
}

// aCertificate is a judgement of a release's certificate that a CT log shows, and of which no entry is known. Rekor v2 was read
// in full, Rekor v1 was not.
func aCertificate(edit func(c *CertificateFacts, logs []LogFacts)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		c := CertificateFacts{TBSSHA256: "tbs", NotBefore: since, NotAfter: since.Add(10 * time.Minute), Project: "onnx", Class: "self", LeafHash: "aa",
			Identity: run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}.identity(), Log: LogRef{Origin: "ct.example", Index: 7}, FirstSeen: since}
		logs := []LogFacts{
			{Origin: "log2.example", Kind: "rekor-v2", Known: true, CheckedAt: since.Add(time.Hour), Proven: 10, Latest: 10},
			{Origin: "rekor.example", Kind: "rekor-v1", LogStanding: LogStanding{NotFollowed: true, Why: "it is not read"}},
		}
		edit(&c, logs)
		return j.Certificate(c, logs, map[string]identity.Policy{"onnx": j.Policy})
	}
}

// aRelease is a judgement of a release of one file.
func aRelease(edit func(f *FileFacts)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		f := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "")
		f.FirstSeen = since
		edit(&f)
		v, _ := j.Release(pypiProject("pypi/onnx"), ReleaseFacts{Version: "1.22.0", Files: []FileFacts{f}}, Lineage{})
		return v.Assessment
	}
}

// TestEveryRuleIsTriggeredByItsFactsAndByNoOthers judges each rule's facts at the end of its grace period and a second before.
func TestEveryRuleIsTriggeredByItsFactsAndByNoOthers(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range append(ruleCases(), monitorRuleCases(t)...) {
		tested[c.rule] = true
		j := presetJudge(t, noon)
		rule := j.Rules[c.rule]
		since := noon.Add(-rule.Grace)
		if len(c.fine) == 0 {
			t.Errorf("%s has no facts that it must not be triggered by", c.rule)
		}
		for name, fine := range c.fine {
			for _, f := range fine(j, since).Findings {
				if f.Rule == c.rule {
					t.Errorf("%s is triggered by what is %s: %s", c.rule, name, f.Summary)
				}
			}
		}
		a := c.wrong(j, since)
		if diff := cmp.Diff([]string{c.rule}, rules(a)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.rule, diff)
			continue
		}
		f := a.Findings[0]
		if f.ID != FindingID(Key(c.rule, f.Subject)) || f.Severity != rule.Severity || f.Advice != rule.Advice || f.Summary == "" || len(f.Evidence) == 0 {
			t.Errorf("%s is incomplete: %+v", c.rule, f)
		}
		if f.Expected == "" && c.rule != CoverageGap {
			t.Errorf("%s does not say what was expected", c.rule)
		}

		j.Now = noon.Add(-time.Second)
		early := c.wrong(j, since)
		waits := slices.ContainsFunc(early.Waiting, func(w Waiting) bool { return w.Rule == c.rule && w.Subject == f.Subject && w.Until.Equal(noon) })
		if !waits || slices.Contains(rules(early), c.rule) {
			t.Errorf("%s a second early: %+v", c.rule, early)
		}

		// The configuration's grace and severity take the place of the rule's own.
		longer := rule.Grace + time.Hour
		j.Rules = NewRuleSet(map[string]Setting{c.rule: {Severity: Info, Grace: &longer}})
		j.Now = noon.Add(time.Hour - time.Second)
		if a := c.wrong(j, since); slices.Contains(rules(a), c.rule) {
			t.Errorf("%s does not wait for as long as it is told to", c.rule)
		}
		j.Now = noon.Add(time.Hour)
		if a := c.wrong(j, since); len(a.Findings) != 1 || a.Findings[0].Severity != Info {
			t.Errorf("%s with other settings: %+v", c.rule, a.Findings)
		}
	}
	for _, id := range RuleIDs() {
		if !tested[id] && id != DeliveryFailing { // of which the outbox has the facts
			t.Errorf("rule %s has no facts that trigger it here", id)
		}
	}
}

// TestJudgingIsPure judges the same facts twice, and facts of which nothing may be changed by judging.
func TestJudgingIsPure(t *testing.T) {
	for _, c := range append(ruleCases(), monitorRuleCases(t)...) {
		j := presetJudge(t, noon)
		if diff := cmp.Diff(c.wrong(j, noon.Add(-100*time.Hour)), c.wrong(j, noon.Add(-100*time.Hour))); diff != "" {
			t.Errorf("%s: %s", c.rule, diff)
		}
	}
}

// TestUnknownIsNeitherFineNorWrong holds open findings of every rule about a file against a file of which nothing is known.
func TestUnknownIsNeitherFineNorWrong(t *testing.T) {
	for name, edit := range map[string]func(p *ProvenanceFacts){
		"not told":      func(p *ProvenanceFacts) { p.State = ProvenanceUntold },
		"not asked for": func(p *ProvenanceFacts) { p.State = ProvenancePending },
		"not answered": func(p *ProvenanceFacts) {
			p.State, p.Failure, p.FailingSince = ProvenancePending, "GET x: status 502", noon
		},
		"refused":          func(p *ProvenanceFacts) { p.State, p.Since = ProvenanceForbidden, noon.Add(-24*time.Hour) },
		"not supported":    func(p *ProvenanceFacts) { p.Document.Attestations[0].Status = attest.Unsupported },
		"refused just now": func(p *ProvenanceFacts) { p.State, p.Since = ProvenanceForbidden, noon },
	} {
		f := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "")
		f.FirstSeen = noon.Add(-24 * time.Hour)
		edit(&f.Provenance)
		v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), f)
		if v.State != FileUnknown {
			t.Errorf("%s: the file is %s", name, v.State)
		}
		subject := pypiProject("pypi/onnx").subject()
		subject.Release, subject.File, subject.SHA256 = f.Version, f.Filename, f.SHA256
		var held []Finding
		for _, rule := range []string{NoProvenance, InvalidAttestation, DigestMismatch, UnexpectedIdentity, WrongGrade, PublisherMismatch, PredicateMismatch,
			MissingSLSAProvenance, UnloggedAttestation, ProvenanceRemoved, ProvenanceReplaced, CoverageGap} {
			held = append(held, Finding{ID: FindingID(Key(rule, subject)), Rule: rule, Severity: High, Status: Open, Subject: subject, OpenedAt: noon})
		}
		for _, c := range Reconcile(held, v.Assessment, noon) {
			if c.Transition == Settled || c.Transition == Opened && c.Finding.Rule != CoverageGap {
				t.Errorf("%s: %s is %s", name, c.Finding.Rule, c.Transition)
			}
		}
	}
}

// TestTwoReasonsForOneFindingAreOne has a file whose attestation is about other bytes and which downloads as others yet.
func TestTwoReasonsForOneFindingAreOne(t *testing.T) {
	f := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "")
	at := &f.Provenance.Document.Attestations[0]
	at.Status, at.Checks = attest.Failed, []attest.Check{{Name: attest.CheckSubject, Status: attest.Fail, Detail: "another digest", Got: "sha256:00", Want: "sha256:ab"}}
	f.DeepSHA256, f.DeepCheckedAt = "ff", noon
	v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), f)
	if len(v.Findings) != 1 || v.Findings[0].Rule != DigestMismatch || v.State != FileWrong {
		t.Fatalf("%s, %+v", v.State, v.Findings)
	}
	var kinds []string
	for _, e := range v.Findings[0].Evidence {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "attestation listing-entry download" {
		t.Errorf("evidence %s", got)
	}
	if changes := Reconcile(nil, v.Assessment, noon); len(changes) != 1 {
		t.Errorf("changes %+v", changes)
	}
}

// TestAFileThatDownloadsAsAnotherIsWrongWhateverIsAttested has a good attestation of what the index lists and does not serve.
func TestAFileThatDownloadsAsAnotherIsWrongWhateverIsAttested(t *testing.T) {
	f := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "")
	f.DeepSHA256, f.DeepCheckedAt = "ff", noon
	v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), f)
	if v.State != FileWrong || !slices.Equal(rules(v.Assessment), []string{DigestMismatch}) {
		t.Errorf("%s, %v", v.State, rules(v.Assessment))
	}
}
