"""Properties of the planner: whatever is done and whatever breaks, no word is lost and none is there twice.

A scenario is data (`moves.py`), made up by hypothesis (`scenarios.py`) and played on the double's own state machine,
in this process and without HTTP (`server.py`, `carrier.py`). The user of a scenario:

- keeps dialogues, each a list of messages as a framework keeps it; anchors go through JSON like all metadata;
- says things, each with a number of its own (`#7#`), alone or several in a row, sometimes the same words, or their id;
- runs the tools that the agent asks for and gives each result a number (`=9=`); or some of them, late, twice, or never;
- asks again where it asked before, says something else instead, goes back and on from there, in two ways at once;
- joins dialogues, lets other models and a second agent answer in between, changes instructions, loses metadata;
- dies at any request, before or after the server got it, leaves, loses the network, meets a model that fails;
- and then does the same again in the same process or a new one, or something else, or nothing;
- is not alone: strangers talk in its conversations, leave calls open there, delete and summarize them;
- works in two processes, one after the other or both at once, which share nothing but the server;
- has names, pictures and tools whose calls have the same ids in every round;
- forces calls of a model that answers in words, and decides otherwise about instructions, conversations that went
  another way, and whether a conversation outlives its turn;
- gets its transcripts back from people who altered the anchors in them;
- meets a server that makes a summary in the midst of a turn.

After every answer the double's store is read (`invariants.py`): every number of the transcript is in what the model
saw, once, in order and, where the transcript is followed, with nothing else; the anchor tells the truth; the answer is
to the last question; branches are apart; a result is given for the call that it was made for; names and pictures are
there; instructions are where the policy has them; nobody goes where a forged anchor leads; a plan is made twice alike;
and what is sent again has the otids of before.

`make test` plays 10,000 scenarios, the same every time. More of them, other ones and longer ones:
`LETTA_PROPERTY_EXAMPLES=100000 pytest -n 2 tests/properties`. A scenario that fails is printed; it goes
into `test_found.py`.
"""
