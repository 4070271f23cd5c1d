package sandbox

// Cases about who signed, for which purpose, and what the index says about it.

// as is a shipment signed with the release job's claims, changed.
func as(edit func(*Claims)) shipment {
	c := ReleaseClaims(currentVersion)
	edit(&c)
	return shipment{claims: &c}
}

func identityCases() []Case {
	const rule = "unexpected-identity"
	ids := shipped("repository-id", "The name of the repository is right, its numeric id is not: somebody took the name over.", rule,
		as(func(c *Claims) { c.RepositoryID = "999000111" })).besides(rule)
	ids.ConfirmedIDs = true

	ci := shipment{claims: &Claims{
		Issuer:     "https://oidc.codefresh.io",
		Repository: onnxRepository, Workflow: onnxWorkflow, Ref: "refs/heads/rel-" + currentVersion,
	}}
	ci.claims.SAN = "https://g.codefresh.io/attacker/build:620000000000000000000000/6000000000000" + ci.claims.forFile(caseFile("other-ci")).RunID
	// Codefresh's certificates tell the repository that was cloned, and little else.
	ci.options.Omit = []int{2, 3, 4, 5, 6, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}
	publisher := publisherFor(ReleaseClaims(currentVersion))
	ci.publisher = &publisher
	clone := shipped("other-ci", "Another CI service that cloned the project's repository signs a file.", rule, ci)
	// The index has no publishers of that service: whatever it records cannot be right.
	clone.Also = []string{"publisher-mismatch"}
	clone = clone.besides("lookalike-identity")
	person := shipment{
		claims:    &Claims{Issuer: "https://accounts.google.com", Email: "maintainer@example.com"},
		publisher: &Publisher{Kind: "Google", Email: "maintainer@example.com"},
	}

	return []Case{
		shipped("unknown-workflow", "A workflow that nobody knows, in the project's repository, signs a file.", rule,
			as(func(c *Claims) { c.Workflow = "nightly.yml" })).besides(rule),
		shipped("fork", "A fork of the repository runs the release workflow and signs a file.", rule,
			as(func(c *Claims) { c.Repository, c.RepositoryID, c.OwnerID = "attacker/onnx", "999000222", "999000333" })),
		shipped("longer-name", "A repository whose name begins with the project's signs a file.", rule,
			as(func(c *Claims) { c.Repository, c.RepositoryID = "onnx/onnx-tensorrt", "999000444" })),
		shipped("reusable-workflow", "The project's repository has a stranger's reusable workflow sign a file.", rule,
			as(func(c *Claims) { c.SignerWorkflow = "attacker/ci/.github/workflows/build.yml@refs/heads/main" })).besides(rule),
		shipped("foreign-caller", "A stranger's repository calls the project's release workflow and signs a file.", rule,
			as(func(c *Claims) {
				c.SignerWorkflow = c.workflowRef()
				c.Repository, c.RepositoryID, c.OwnerID, c.Workflow = "attacker/app", "999000555", "999000333", "main.yml"
			})).besides("lookalike-identity"),
		shipped("enterprise-issuer", "The issuer is that of an enterprise of its own, whose URL extends the public one's.", rule,
			as(func(c *Claims) { c.Issuer = gitHubIssuer + "/attacker" })).besides(rule),
		clone,
		shipped("person", "A person signs a file by hand.", rule, person),
		shipped("tag", "The release workflow runs for a tag, which the project never publishes from.", rule,
			as(func(c *Claims) { c.Ref = "refs/tags/v" + currentVersion })).besides(rule),
		shipped("push", "The release job runs for a push, which never publishes.", rule,
			as(func(c *Claims) { c.Trigger = "push" })).besides(rule),
		shipped("self-hosted", "The release job runs on a machine that is not GitHub's.", rule,
			as(func(c *Claims) { c.Runner = "self-hosted" })).besides(rule),
		ids,

		shipped("late-file", "A file is added to a release two days later, by another attempt of the release job.", "",
			as(func(c *Claims) { c.Attempt = 2 })).tempts(rule),
	}
}

func gradeCases() []Case {
	const rule = "wrong-grade"
	by := func(ref, trigger, environment string) shipment {
		c := onnxClaims(ref, trigger, environment)
		return shipment{claims: &c}
	}
	branch := "refs/heads/rel-" + currentVersion
	candidate := "onnx-" + currentVersion + "rc1-cp312-abi3-manylinux_2_28_x86_64.whl"
	rc := shipped("release-candidate", "A release candidate is published from the branch of its release.", "",
		shipment{filename: candidate}).tempts(rule)
	rc.Version = currentVersion + "rc1"
	pr := by("refs/pull/7712/merge", "pull_request", "")
	pr.statements = func(s Subject, c Claims) ([]Statement, error) {
		statement, err := SLSAStatement(c, s)
		return []Statement{statement}, err
	}
	weekly := currentVersion + ".dev20260708"
	weeklyFile := weeklyFiles(weekly)[1]
	return []Case{
		shipped("ci-build", "A wheel that CI built and signed for a push is published.", rule, by(branch, "push", "")),
		shipped("pr-build", "A wheel that was built and attested for a pull request is published.", rule, pr),
		shipped("weekly-job", "The job for weekly builds signs a file of a release.", rule, by("refs/heads/main", "schedule", "pypi-weekly")),
		shipped("test-job", "The job that publishes to the test index signs a file on the real one.", rule,
			by(branch, "workflow_dispatch", "testpypi-release")),
		shipped("other-branch", "The release job signs a file from the branch of another version.", rule,
			by("refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release")),
		rc,
		{
			Name: "weekly-by-hand", About: "A weekly build is published by hand, from the main branch.",
			Project: weeklyProject, Version: weekly, File: weeklyFile, Tempts: rule, Passes: 1,
			Apply: func(w *World) error {
				c := onnxClaims("refs/heads/main", "workflow_dispatch", "pypi-weekly")
				return w.ship(shipment{project: weeklyProject, filename: weeklyFile, claims: &c})
			},
		},
	}
}

func publisherCases() []Case {
	const rule = "publisher-mismatch"
	recorded := func(edit func(*Publisher)) shipment {
		p := publisherFor(ReleaseClaims(currentVersion))
		edit(&p)
		return shipment{publisher: &p}
	}
	return []Case{
		shipped("publisher-repository", "The index names another repository as publisher than the one that signed.", rule,
			recorded(func(p *Publisher) { p.Repository = "attacker/onnx" })),
		shipped("publisher-workflow", "The index names another workflow as publisher than the one that signed.", rule,
			recorded(func(p *Publisher) { p.Workflow = "publish.yml" })),
		shipped("publisher-environment", "The index names another environment as publisher's than the one that signed.", rule,
			recorded(func(p *Publisher) { p.Environment = "testpypi-release" })),
		{
			Name:    "publisher-untold",
			About:   "The index names an environment, and the certificate is too old to tell one.",
			Project: onnxProject, Version: "1.19.0", File: "onnx-1.19.0.tar.gz", Tempts: rule, Passes: 1, Apply: nothing,
		},
	}
}
