-- +goose Up
-- How often each host was asked on a day, by whatever the monitor does there.
CREATE TABLE host_requests (
  host            TEXT    NOT NULL,               -- HOST or HOST:PORT, lower case
  day             INTEGER NOT NULL,               -- days since 1970-01-01 UTC
  requests        INTEGER NOT NULL,
  PRIMARY KEY (host, day)
) STRICT, WITHOUT ROWID;

-- What Rekor v1 was asked by name was counted by log until now.
INSERT INTO host_requests (host, day, requests)
  SELECT lower(substr(a.rest, 1, instr(a.rest || '/', '/') - 1)), a.day, sum(a.requests)
  FROM (SELECT substr(l.url, instr(l.url, '://') + 3) AS rest, q.day, q.requests FROM rekor1_requests q JOIN logs l ON l.id = q.log_id WHERE instr(l.url, '://') > 0) AS a
  GROUP BY 1, 2;
DROP TABLE rekor1_requests;
