"""Checks of the JSON that lcedge prints, for .ci/run. Standard library only.

check.py stream FILE --cites LINE --answer VALUE   events of a first run with one question
check.py again FILE                                a second run: nothing is absorbed anew
check.py answer FILE --cites LINE                  an answer with its citations
check.py event FILE --event NAME                   the last object is that event
check.py json FILE                                 every line is an object with an event
"""

import argparse
import json
import sys

CITATION = ("source", "line_start", "line_end", "byte_start", "byte_end", "score", "found_by", "text")


def need(condition, message):
    if not condition:
        sys.exit(f"check.py: {message}")


def read(path):
    events = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = json.loads(line)
            except ValueError as error:
                sys.exit(f"check.py: line {number} is not JSON: {error}: {line[:200]!r}")
            need(isinstance(event, dict) and "event" in event, f"line {number} has no event: {line[:200]!r}")
            events.append(event)
    need(events, "nothing was printed")
    return events


def of(events, name):
    return [event for event in events if event["event"] == name]


def check_answer(events, args):
    answers = of(events, "answer")
    need(len(answers) == 1, f"{len(answers)} answers, not 1")
    answer = answers[0]
    need(answer["citations"], f"an answer without citations: {answer}")
    for citation in answer["citations"]:
        missing = [key for key in CITATION if key not in citation]
        need(not missing, f"a citation without {missing}: {citation}")
    cited = [(c["line_start"], c["line_end"]) for c in answer["citations"]]
    if args.cites:
        need(any(low <= args.cites <= high for low, high in cited), f"line {args.cites} is not in {cited}")
    right = args.answer is None or args.answer in answer["answer"]
    print(f"  found {answer['found']}, {answer['answer']!r}, lines {cited}{'' if right else ', WRONG VALUE'}")
    need(right, f"{args.answer} is not in the answer")


def check_summary(events):
    need(events[-1]["event"] == "summary", f"the last event is {events[-1]['event']}, not summary")
    summary = events[-1]
    fates = summary["fates"]
    need(sum(fates.values()) == summary["tokens"], f"fates {fates} do not add up to {summary['tokens']}")
    need(fates.get("dropped", 0) == 0, f"dropped: {fates}")
    return summary


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["stream", "again", "answer", "event", "json"])
    parser.add_argument("file")
    parser.add_argument("--cites", type=int)
    parser.add_argument("--answer")
    parser.add_argument("--event")
    args = parser.parse_args()
    events = read(args.file)
    if args.what == "stream":
        check_answer(events, args)
        summary = check_summary(events)
        print(f"  {summary['tokens']} tokens, {summary['tokens_per_second']} tokens/s")
    elif args.what == "again":
        read_again = check_summary(events)["tokens_read_by_model"]
        need(read_again < 2000, f"{read_again} tokens were read again")
    elif args.what == "answer":
        check_answer(events, args)
    elif args.what == "event":
        last = events[-1]
        need(last["event"] == args.event, f"the last event is {last['event']}, not {args.event}")
        print(f"  {json.dumps(last)}")


if __name__ == "__main__":
    main()
