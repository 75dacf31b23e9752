"""The operator of @KIND@: its ConfigMap says what it says."""

from sampan_operator import Answer, Question, run


def reconcile(question: Question) -> Answer:
    message = question.spec.get("message")
    copy = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": question.name}}
    if not message:
        return Answer("Silent", because="there is no message", status={}, delete=[copy])
    copy["data"] = {"message": message}
    return Answer("Published", because="there is a message", status={"message": message}, apply=[copy])


if __name__ == "__main__":
    run(reconcile)
