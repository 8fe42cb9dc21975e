"""Every message that luafarm's processes exchange.

A message is one ZeroMQ frame, msgpack, `[kind, field, ...]` in the order of its class
(`luafarm.wire.codec`). Peers say `Hello` first and are answered with `Welcome`, or with
`Refused`, which says why; a peer with another PROTOCOL is refused. Only the two that
every request needs, `Runs` and `Dones`, carry many rows in one frame.

Who says what to whom (D connects a DEALER, R binds a ROUTER):

    front D      -> VM host R     Hello Runs Body Cancel Recall
    VM host R    -> front D       Welcome Refused Dones Part Finished Want Recalled
    broker D     -> VM host R     Hello Load Drop Fence TakeInventory Source
    VM host R    -> broker D      Welcome Refused Loaded LoadFailed Gone Inventory Need
                                  Fenced
    front D      -> broker R      Hello Miss Pressure Report Accuse
    broker R     -> front D       Welcome Refused HostUp HostLost HostUnlisted Place
                                  Snapshot Aliases
    supervisor D -> broker R      Hello HostUp HostLost MachineReport
    broker R     -> supervisor D  Welcome Refused Recycle Kill
    front D      -> supervisor R  Hello
    supervisor R -> front D       Welcome Refused HostLost
    command D    -> broker R      Hello StatusWanted Reload
    broker R     -> command D     Welcome Refused StatusIs Reloaded
"""

from luafarm.wire.messages.commands import (
    Reload,
    Reloaded,
    StatusIs,
    StatusWanted,
)
from luafarm.wire.messages.greetings import (
    PROTOCOL,
    Hello,
    Refused,
    Role,
    Welcome,
)
from luafarm.wire.messages.hosts import (
    HostLost,
    HostRow,
    HostUnlisted,
    HostUp,
    Kill,
    MachineReport,
    Recycle,
)
from luafarm.wire.messages.placement import (
    Accuse,
    Aliases,
    Miss,
    Place,
    Pressure,
    Report,
    Snapshot,
    StopRow,
    UseRow,
    Verdict,
)
from luafarm.wire.messages.requests import (
    AUTHORIZER,
    FILTER,
    HOST_ERROR,
    SAFE,
    Body,
    Cancel,
    DoneRow,
    Dones,
    Finished,
    Outcome,
    Part,
    Recall,
    Recalled,
    RunRow,
    Runs,
    ScriptError,
    Want,
)
from luafarm.wire.messages.states import (
    Blob,
    Dependency,
    Drop,
    Fence,
    Fenced,
    Gone,
    Inventory,
    Limits,
    Load,
    Loaded,
    LoadFailed,
    Need,
    NeedKind,
    Source,
    StateRow,
    TakeInventory,
)

__all__ = [
    "AUTHORIZER",
    "FILTER",
    "HOST_ERROR",
    "PROTOCOL",
    "SAFE",
    "Accuse",
    "Aliases",
    "Blob",
    "Body",
    "Cancel",
    "Dependency",
    "DoneRow",
    "Dones",
    "Drop",
    "Fence",
    "Fenced",
    "Finished",
    "Gone",
    "Hello",
    "HostLost",
    "HostRow",
    "HostUnlisted",
    "HostUp",
    "Inventory",
    "Kill",
    "Limits",
    "Load",
    "LoadFailed",
    "Loaded",
    "MachineReport",
    "Message",
    "Miss",
    "Need",
    "NeedKind",
    "Outcome",
    "Part",
    "Place",
    "Pressure",
    "Recall",
    "Recalled",
    "Recycle",
    "Refused",
    "Reload",
    "Reloaded",
    "Report",
    "Role",
    "RunRow",
    "Runs",
    "ScriptError",
    "Snapshot",
    "Source",
    "StateRow",
    "StatusIs",
    "StatusWanted",
    "StopRow",
    "TakeInventory",
    "UseRow",
    "Verdict",
    "Want",
    "Welcome",
]

Message = (
    Hello
    | Welcome
    | Runs
    | Dones
    | Finished
    | Part
    | Want
    | Body
    | Cancel
    | Recall
    | Recalled
    | Load
    | Loaded
    | LoadFailed
    | Drop
    | Gone
    | Fence
    | Fenced
    | TakeInventory
    | Inventory
    | Need
    | Source
    | Miss
    | Pressure
    | Report
    | Place
    | Snapshot
    | Aliases
    | HostUp
    | HostLost
    | HostUnlisted
    | MachineReport
    | Recycle
    | StatusWanted
    | StatusIs
    | Reload
    | Reloaded
    | Accuse
    | Kill
    | Refused
)
