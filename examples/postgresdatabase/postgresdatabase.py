"""PostgresDatabase: a database of a PostgreSQL server and a user of its own, made and dropped by effects.

The user's password is in a Secret. It goes nowhere else: what the server is given, and what is kept of the effect, is the
verifier PostgreSQL itself would store of it.
"""

import hashlib
import hmac
import os
import subprocess
import unicodedata
from base64 import b64decode, b64encode
from typing import Any, Dict, List, Optional

from sampan_operator import Answer, Effect, Question, Run, condition, effect, run

FINALIZER = "plugin.sampan.dev/postgresdatabase"
ITERATIONS = 4096


def verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores of a password (RFC 5802): it proves one, and does not tell it."""
    salted = hashlib.pbkdf2_hmac("sha256", unicodedata.normalize("NFKC", password).encode(), salt, ITERATIONS)
    keyed = lambda word: hmac.new(salted, word, "sha256").digest()
    stored, server = hashlib.sha256(keyed(b"Client Key")).digest(), keyed(b"Server Key")
    salt_text, stored_text, server_text = (b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt_text}${stored_text}:{server_text}"


def password_of(question: Question) -> Optional[str]:
    secret = question.find("Secret", question.spec["secret"])
    held = ((secret or {}).get("data") or {}).get("password")
    return b64decode(held).decode() if held else None


def reconcile(question: Question) -> Answer:
    name, drops = question.spec["database"], question.spec.get("deletion") == "Drop"
    if question.is_being_deleted:
        return dropping(question, name) if drops else held(question, Answer("Dropping"), False)
    return held(question, making(question, name), drops)


def making(question: Question, name: str) -> Answer:
    password = password_of(question)
    if password is None:
        answer = Answer("Waiting", because="there is no password", status=status(question, "False", "NoPassword", ""))
        return answer.waiting_for("there is a password", f"secret {question.spec['secret']}, key `password`")
    uid = question.primary["metadata"]["uid"]
    proof = verifier(password, hashlib.sha256(uid.encode()).digest()[:16])
    key = hashlib.sha256(proof.encode()).hexdigest()[:16]
    made = after_others(question, "create", key)
    answer = Answer("Creating", because="the server has something to do")
    if made == "others":
        return said(question, answer, None)
    forget_others(question, answer, "create", key)
    answer.ask_for("create", key, {"database": name, "verifier": proof})
    if not (made and made.done):
        return said(question, answer, made)
    answer.state, answer.because = "Ready", "the server has done it"
    answer.status = status(question, "True", "Created", f"on {made.result['server']}")
    answer.apply.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": question.name}, "data": {
        "PGHOST": made.result["host"], "PGPORT": made.result["port"], "PGDATABASE": name, "PGUSER": name}})
    return answer


def dropping(question: Question, name: str) -> Answer:
    dropped = after_others(question, "drop", "all")
    answer = Answer("Dropping", because="it is being deleted")
    if dropped == "others":
        return held(question, said(question, answer, None), True)
    answer.ask_for("drop", "all", {"database": name})
    is_gone = bool(dropped and dropped.done)
    return held(question, answer if is_gone else said(question, answer, dropped), not is_gone)


def after_others(question: Question, name: str, key: str) -> Any:
    """The effect, or `others` while one is under way: the server is asked for one thing at a time, in order."""
    if any(not one.done for one in question.effects if (one.effect, one.key) != (name, key)):
        return "others"
    return question.effect(name, key)


def forget_others(question: Question, answer: Answer, name: str, key: str) -> None:
    """What was done for another password is to be done again, should that one come back."""
    for one in question.effects:
        if (one.effect, one.key) != (name, key):
            answer.forget_effect(one.effect, one.key)


def said(question: Question, answer: Answer, pending: Optional[Effect]) -> Answer:
    """The object's condition says how far the server is."""
    word = (pending.error or pending.progress or "") if pending else ""
    reason = "Failing" if pending and pending.error else answer.state
    answer.status = status(question, "False", reason, word)
    return answer


def status(question: Question, ready: str, reason: str, message: str) -> Dict[str, Any]:
    is_ready = condition("Ready", ready, reason, message, question.now, question.primary)
    return {"database": question.spec["database"], "conditions": [is_ready]}


def held(question: Question, answer: Answer, is_held: bool) -> Answer:
    """The finalizer holds the object while there is something to be dropped."""
    metadata: Dict[str, Any] = {"name": question.name}
    if is_held:
        metadata["finalizers"] = [FINALIZER]
    kind = {"apiVersion": "examples.sampan.dev/v1", "kind": "PostgresDatabase"}
    answer.apply.append({**kind, "metadata": metadata})
    return answer


def psql(script: str, **variables: str) -> List[str]:
    """Runs statements as the server's administrator; the lines they give. `:"name"` and `:'name'` quote a variable."""
    named = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", *named]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.splitlines()


@effect("create")
def create(run: Run) -> Dict[str, str]:
    """The role first, with a mark that tells whose it is: what it owns is then ours, however often we come back."""
    names = {"name": run.input["database"], "verifier": run.input["verifier"], "mark": mark(run)}
    whose = psql("SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = :'name'", **names)
    if whose not in ([], [names["mark"]]):
        raise RuntimeError(f"there is a role {names['name']} that is somebody else's")
    if not whose:
        psql("""BEGIN; CREATE ROLE :"name" LOGIN; COMMENT ON ROLE :"name" IS :'mark'; COMMIT""", **names)
    psql("""ALTER ROLE :"name" LOGIN PASSWORD :'verifier'""", **names)
    run.progress("the user is there")
    owner = psql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :'name'", **names)
    if owner not in ([], [names["name"]]):
        raise RuntimeError(f"there is a database {names['name']} that is somebody else's")
    if not owner:
        psql("""CREATE DATABASE :"name" OWNER :"name" """, **names)
    psql("""REVOKE ALL ON DATABASE :"name" FROM PUBLIC""", **names)
    [version] = psql("SHOW server_version")
    host, port = os.environ.get("PGHOST", "localhost"), os.environ.get("PGPORT", "5432")
    return {"server": f"PostgreSQL {version.split()[0]}", "host": host, "port": port}


@effect("drop")
def drop(run: Run) -> Dict[str, str]:
    """Only what carries our mark. The role goes last: while it is there, we know what is ours."""
    names = {"name": run.input["database"], "mark": mark(run)}
    ours = psql("SELECT 1 FROM pg_roles WHERE rolname = :'name' AND shobj_description(oid, 'pg_authid') = :'mark'", **names)
    if ours:
        if psql("SELECT 1 FROM pg_database WHERE datname = :'name' AND pg_get_userbyid(datdba) = :'name'", **names):
            psql("""DROP DATABASE :"name" WITH (FORCE)""", **names)
        run.progress("the database is gone")
        psql("""DROP ROLE :"name" """, **names)
    return {}


def mark(run: Run) -> str:
    return f"sampan {run.primary['uid']}"


if __name__ == "__main__":
    run(reconcile)
