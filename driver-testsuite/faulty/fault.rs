//! The faults: which there are, what each breaks, and which are switched on.

use std::sync::OnceLock;

use crate::Problem;

static SWITCHED_ON: OnceLock<Vec<Fault>> = OnceLock::new();

struct Row {
    fault: Fault,
    name: &'static str,
    clauses: &'static str,
    sentence: &'static str,
}

/// The faults as `Variant name clauses sentence` rows.
macro_rules! faults {
    ($($fault:ident $name:literal $clauses:literal $sentence:literal,)*) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault { $($fault),* }

        const TABLE: &[Row] = &[$(Row {
            fault: Fault::$fault,
            name: $name,
            clauses: $clauses,
            sentence: $sentence,
        }),*];
    };
}

faults! {
    // The life of a process.
    BindsBeside "binds-beside" "L1" "With an inherited socket it binds another beside it.",
    DeadSocketKept "dead-socket-kept" "L2" "It does not replace the socket that a dead process left.",
    HealthMissing "health-missing" "L4" "It serves no health service.",
    LivenessIgnored "liveness-ignored" "L5" "It outlives its registry.",
    StopCutsCalls "stop-cuts-calls" "L6" "On SIGTERM it exits at once, whatever is in flight.",
    StopFails "stop-fails" "L6" "On SIGTERM it exits with 1.",
    StopNeverEnds "stop-never-ends" "L6" "On SIGTERM it waits for calls in flight as long as they take.",
    StopTakesCalls "stop-takes-calls" "L6" "On SIGTERM it takes new calls for ten more seconds.",
    StopUntold "stop-untold" "L6" "After SIGTERM it reports SERVING.",
    SecretLogged "secret-logged" "L7" "It logs the parameters of Configure.",
    UrlLogged "url-logged" "L7" "It logs the URLs that it gives, with their signatures.",
    HelloLate "hello-late" "H1" "Hello answers only once the store is configured.",
    HelloOnce "hello-once" "H1" "A second Hello fails.",
    NameInvalid "name-invalid" "H1" "Its name in the handshake is not of the form that the handshake asks for.",
    ProtocolsEmpty "protocols-empty" "H2" "Hello lists no package.",
    NonceNotEchoed "nonce-not-echoed" "H3" "Hello answers a nonce of its own.",
    InstanceConstant "instance-constant" "H3" "Each process has the same instance.",
    InstanceZero "instance-zero" "H3" "The instance is 0.",
    InstanceOfCall "instance-of-call" "H1,H3" "The instance differs from Hello to Hello of one process.",
    EnvironmentUnnamed "environment-unnamed" "H4" "It declares a variable without a name.",
    ProcessNotServing "process-not-serving" "P1" "The process is NOT_SERVING while the store is.",
    StoreServingEarly "store-serving-early" "P2" "The store is SERVING before Configure and without a back end.",
    StoreNeverServing "store-never-serving" "P2" "The store is never SERVING.",
    StoreServingBlindly "store-serving-blindly" "P2" "The store is SERVING once it is configured, also without a back end.",
    UndeclaredIgnored "undeclared-ignored" "C1" "What is not declared is answered with OK, and without effect.",
    DeclaredUnsupported "declared-unsupported" "C1" "if_absent is declared and answers UNSUPPORTED.",
    ReadOnlyWrites "read-only-writes" "C1" "A store that declares read_only takes changes.",
    ReadOnlySessions "read-only-sessions" "C1" "A store that declares read_only takes write streams.",
    CapabilitiesChange "capabilities-change" "C1,K1" "A repeated Configure answers other capabilities.",
    UnknownRefused "unknown-refused" "C2" "A message of an unknown kind ends a write stream.",
    NonsenseKills "nonsense-kills" "C2" "A message of a write stream that cannot be decoded ends the process.",
    UnconfiguredNotFound "unconfigured-not-found" "K1" "Before Configure calls answer NOT_FOUND.",
    OperatorForgotten "operator-forgotten" "K1" "Attached, it refuses a Configure without parameters.",
    UnknownIgnored "unknown-ignored" "K2" "Unknown parameters are passed over.",
    UnreadableIgnored "unreadable-ignored" "K2" "A parameter that cannot be read has its default.",
    UnknownNotNamed "unknown-not-named" "K2" "The refusal of an unknown parameter does not name it.",
    SecretShown "secret-shown" "K2,E1" "The refusal of an unknown parameter shows the values of all.",
    SecretFileNotRead "secret-file-not-read" "K3" "A secret written as file:/path is that text.",
    SecondAccepted "second-accepted" "K4" "A store that another process has open is opened.",
    SecondConfigInvalid "second-config-invalid" "K4" "A store that another process has open is CONFIG_INVALID.",
    OthersAccepted "others-accepted" "K2" "A second Configure with other parameters is OK.",
    RepeatRefused "repeat-refused" "K2" "A second Configure with the same parameters is refused.",
    FailedConfigureSticks "failed-configure-sticks" "K2" "After a Configure that failed all others fail.",
    // What always holds.
    PutLate "put-late" "G1" "Put answers before its content is there.",
    ListStale "list-stale" "G1" "List answers for a second what it answered before.",
    SharedStale "shared-stale" "G1" "Get answers what this process put, whatever another process did since.",
    PutGrows "put-grows" "G2" "Put writes in place, and its content is seen growing.",
    CommitGrows "commit-grows" "G2,O4" "Commit writes in place, and its content is seen growing.",
    WritesLost "writes-lost" "G3" "What was put or committed is lost with the process.",
    StoreLost "store-lost" "G3,C1" "The store is in memory, whatever durability it declares.",
    ReadMixes "read-mixes" "G4" "Read goes on with whatever is at the path by then.",
    ReadShort "read-short" "G4" "Read of a long content ends with OK one byte early.",
    PersistedDecreases "persisted-decreases" "G5" "persisted goes back between two flushes.",
    PersistedLost "persisted-lost" "G5,W3" "Half of what was told as persisted is lost with the process.",
    EmptyPrefixStays "empty-prefix-stays" "G6" "A prefix stays when its last content has gone.",
    EmptyFolderListed "empty-folder-listed" "G6" "List shows folders without content.",
    CancelledReadLeaks "cancelled-read-leaks" "G7" "A cancelled Read leaves a descriptor open.",
    EndedWriterLeaks "ended-writer-leaks" "G7,O1" "A write stream that ends leaves its descriptor and its unpersisted bytes behind.",
    ModifiedEarly "modified-early" "G8" "modified is an hour early.",
    ModifiedMissing "modified-missing" "G8,S1" "Content has no modified.",
    ManyReadsFail "many-reads-fail" "G9" "More than 16 reads at once are THROTTLED.",
    ReadersBlock "readers-block" "G9" "A read holds the lock that every other call waits for.",
    EndPublishes "end-publishes" "G10" "The end of a write stream publishes.",
    CancelPublishes "cancel-publishes" "G10" "The cancellation of a write stream publishes.",
    // Paths.
    RootAccepted "root-accepted" "N1" "Calls on content take the path /.",
    LongComponentRefused "long-component-refused" "N1" "A component of more than 128 bytes is refused.",
    DeepPathRefused "deep-path-refused" "N1" "A path of more than 31 components is refused.",
    HiddenNameRefused "hidden-name-refused" "N1" "A component that begins with a dot is refused.",
    DotsResolved "dots-resolved" "N2,N4" "Components . and .. are resolved.",
    LinksFollowed "links-followed" "N4" "A link in the folder is followed to wherever it leads.",
    SlashesMerged "slashes-merged" "N2" "Empty components are passed over.",
    RelativeAccepted "relative-accepted" "N2" "A path without a / at its begin is taken.",
    TrailingSlashAccepted "trailing-slash-accepted" "N2" "A / at the end of a path is passed over.",
    BadBytesAccepted "bad-bytes-accepted" "N2" "Bytes that no path may have become _.",
    LongComponentAccepted "long-component-accepted" "N2" "A component of more than 255 bytes is cut.",
    LongPathAccepted "long-path-accepted" "N2" "A path of more than 1024 bytes is cut.",
    HintUnchecked "hint-unchecked" "N2" "The target of open may be any text.",
    CaseFolded "case-folded" "N3" "/A and /a are one path.",
    DeleteTakesNamesakes "delete-takes-namesakes" "N3" "Delete of /a takes /ab too.",
    PrefixOfName "prefix-of-name" "N3,S1" "Stat of /a tells a prefix when there is /ab.",
    ConflictLosesAbove "conflict-loses-above" "N5" "Content below other content replaces that.",
    ConflictLosesBelow "conflict-loses-below" "N5" "Content at a prefix replaces all that is below.",
    TemporaryStays "temporary-stays" "N6" "Temporary content shows beside the content.",
    TemporaryCollides "temporary-collides" "N6" "Temporary content has a name that a path may have.",
    SessionsListed "sessions-listed" "W4,N6" "List shows write sessions.",
    // Limits and errors.
    PutTooLargeAccepted "put-too-large-accepted" "U2" "Put takes more than 1 MiB.",
    PutTooLargeCut "put-too-large-cut" "U2" "Put cuts what is more than 1 MiB.",
    PutLimitLow "put-limit-low" "U2" "Put refuses 1 MiB.",
    GetTooLargeGiven "get-too-large-given" "T1" "Get gives more than 1 MiB.",
    GetTooLargeCut "get-too-large-cut" "T1" "Get gives the first MiB of what is more.",
    GetLimitLow "get-limit-low" "T1" "Get refuses 1 MiB.",
    ReadMessageTooLarge "read-message-too-large" "R1" "A message of Read has more than 1 MiB.",
    MessageTooLargeAccepted "message-too-large-accepted" "W1" "A message of Write may have more than 1 MiB.",
    PageTooLarge "page-too-large" "I1" "A page has more than 1000 entries when more are asked for.",
    WalkMessageTooLarge "walk-message-too-large" "A1" "A message of Walk has all there is.",
    VersionLong "version-long" "S1" "A version has more than 256 bytes.",
    NoSpaceInternal "no-space-internal" "E1" "A full store answers INTERNAL.",
    DetailMissing "detail-missing" "E1" "Errors carry no detail.",
    CodeUnknown "code-unknown" "E1" "Errors travel under the code UNKNOWN.",
    FencedInternal "fenced-internal" "W2,E1" "A fenced writer is told INTERNAL.",
    PathNotTold "path-not-told" "E1" "Errors do not tell the path.",
    PathToldOtherwise "path-told-otherwise" "E1" "Errors tell the path without its first /.",
    PersistedNotTold "persisted-not-told" "E1,W1" "OFFSET_INVALID does not tell what there is.",
    MessageLong "message-long" "E1" "Messages have more than 1 KiB.",
    MessageEmpty "message-empty" "E1" "Messages are empty.",
    BackEndNotFound "back-end-not-found" "E2" "A back end that is away makes content NOT_FOUND.",
    // Content.
    StatPrefixNotFound "stat-prefix-not-found" "S1" "Stat of a prefix is NOT_FOUND.",
    PrefixSized "prefix-sized" "S1" "A prefix has a size.",
    PrefixAsContent "prefix-as-content" "S1" "Stat tells a prefix as content.",
    VersionConstant "version-constant" "S1,R3" "All versions are alike.",
    VersionOfSize "version-of-size" "S1" "Contents of one size have one version.",
    VersionOfSecond "version-of-second" "S1" "Contents of one size and second have one version.",
    GetPrefixEmpty "get-prefix-empty" "T1" "Get of a prefix is empty and OK.",
    GetOtherVersion "get-other-version" "T1" "Get tells another version than Stat.",
    PutOtherVersion "put-other-version" "U1" "Put tells another version than Stat.",
    PutKeepsTail "put-keeps-tail" "U1" "A shorter content keeps the tail of the longer that it replaces.",
    PutEmptyRefused "put-empty-refused" "U1" "Put refuses content of no bytes.",
    PutNeedsPrefix "put-needs-prefix" "U2" "Put needs the prefix to be there.",
    IfAbsentIgnored "if-absent-ignored" "U1,O4" "if_absent replaces what is there.",
    IfAbsentRaces "if-absent-races" "U1" "if_absent looks first and puts then.",
    IfAbsentLoserWrites "if-absent-loser-writes" "U1" "if_absent answers ALREADY_EXISTS and has written.",
    // Reading, listing, moving, deleting, redirecting.
    InfoTwice "info-twice" "R1" "Every message of Read has info.",
    InfoMissing "info-missing" "R1" "No message of Read has info.",
    LengthIgnored "length-ignored" "R1" "Read goes on to the end.",
    LengthZeroIsAll "length-zero-is-all" "R1" "A length of 0 is read as none.",
    LengthOverflows "length-overflows" "R1" "A length beyond all numbers is INTERNAL.",
    ReadBuffersAll "read-buffers-all" "G7,R1" "Read takes all of the content into memory.",
    OffsetBeyondEmpty "offset-beyond-empty" "R2" "An offset beyond the end is empty and OK.",
    OffsetAtEndRefused "offset-at-end-refused" "R2" "An offset at the end is OFFSET_INVALID.",
    IfVersionIgnored "if-version-ignored" "R3" "if_version is not looked at.",
    IfVersionLate "if-version-late" "R3" "if_version is looked at when all data is sent.",
    ReadPrefixEmpty "read-prefix-empty" "R4" "Read of a prefix is empty and OK.",
    ReadEndsWithContent "read-ends-with-content" "R4,G4" "Read ends with OK when the content is deleted.",
    ShrunkUnnoticed "shrunk-unnoticed" "R5" "Content that has become shorter ends a Read with OK.",
    ListUnordered "list-unordered" "I1" "List is ordered backwards.",
    ListBucketOrder "list-bucket-order" "I1" "A prefix is ordered as if its name ended with /.",
    ListStartInclusive "list-start-inclusive" "I1,I2" "start_after is listed again.",
    ListStartMustExist "list-start-must-exist" "I1" "After a name that is not there nothing is listed.",
    ListGap "list-gap" "I2" "The first entry of each page but the first is missing.",
    LimitIgnored "limit-ignored" "I1" "A page has 1000 entries whatever the limit.",
    LimitZeroNone "limit-zero-none" "I1" "A limit of 0 gives an empty page.",
    MoreNever "more-never" "I1" "more is never told.",
    MoreWhenFull "more-when-full" "I1" "more is told of every full page.",
    ListNothingFails "list-nothing-fails" "I3" "List of nothing is NOT_FOUND.",
    ListContentFails "list-content-fails" "I3" "List of content is NOT_FOUND.",
    WalkBucketOrder "walk-bucket-order" "A1" "/a-b comes before /a/x.",
    WalkPrefixes "walk-prefixes" "A1" "Walk tells prefixes too.",
    WalkStartInclusive "walk-start-inclusive" "A1" "start_after is told again.",
    WalkStartMustExist "walk-start-must-exist" "A1" "start_after must be there.",
    WalkSkipsNamesakes "walk-skips-namesakes" "A1" "A walk after /a/0.1.2 skips /a/0.1.20.",
    WalkSkipsRest "walk-skips-rest" "A1" "A walk after /a/b/x skips the rest of /a.",
    WalkStops "walk-stops" "A2" "Walk ends after one message.",
    WalkOfNothingFails "walk-of-nothing-fails" "A2" "Walk of nothing is NOT_FOUND.",
    MoveKeepsSource "move-keeps-source" "M1" "Move leaves the source.",
    MoveGap "move-gap" "M1,G2" "Move takes the source some time before the target is there.",
    MoveOntoItselfDeletes "move-onto-itself-deletes" "M1" "Move onto itself deletes.",
    MoveNothingOk "move-nothing-ok" "M1" "Move of nothing is OK when there is content at the target.",
    MoveNothingTruncates "move-nothing-truncates" "M1" "Move of nothing empties the target.",
    MoveTakesPrefix "move-takes-prefix" "M1" "Move takes prefixes.",
    DeleteNothingFails "delete-nothing-fails" "D1" "Delete of nothing is NOT_FOUND.",
    DeletePrefixNothing "delete-prefix-nothing" "D1" "Delete of a prefix is OK without recursive, and deletes nothing.",
    DeletePrefixAll "delete-prefix-all" "D1" "Delete of a prefix deletes all below without recursive.",
    DeleteStops "delete-stops" "D1" "A recursive Delete leaves one content.",
    DeleteKeepsSession "delete-keeps-session" "D2" "Delete does not end the session at its path.",
    DeleteKeepsSessionsBelow "delete-keeps-sessions-below" "D2" "A recursive Delete does not end the sessions below.",
    DeleteKeepsWriters "delete-keeps-writers" "D2" "Delete lets the writers of the session go on.",
    UrlAnyPath "url-any-path" "F1" "A URL is good for other paths.",
    UrlAnyMethod "url-any-method" "F1" "A URL is good for other methods.",
    UrlNeverExpires "url-never-expires" "F1" "A URL is good for ever.",
    UrlNoRange "url-no-range" "F1" "A URL gives no ranges.",
    UrlOfNothing "url-of-nothing" "F1" "Missing content has a URL, at which there is empty content.",
    UrlNeedsCredentials "url-needs-credentials" "F1" "A URL is good only with credentials.",
    // Write sessions.
    OpenKeepsBytes "open-keeps-bytes" "W1" "open with offset 0 keeps what was written.",
    OpenKeepsBeyond "open-keeps-beyond" "W1" "open keeps what lies beyond its offset.",
    OpenLeavesHole "open-leaves-hole" "W1" "open takes offsets beyond what is persisted.",
    OpenCreates "open-creates" "W1" "open with an offset makes a session where none is.",
    OpenUnaligned "open-unaligned" "W1" "open takes offsets that are no multiple of the granularity.",
    OpenUnanswered "open-unanswered" "W3" "open is not acknowledged.",
    OpenAnsweredWithZero "open-answered-with-zero" "W3" "open is acknowledged with 0.",
    FenceMissing "fence-missing" "W2" "A newer open lets older streams go on, and their bytes count.",
    FenceLate "fence-late" "W2" "A fenced stream can add one more message.",
    FenceUntold "fence-untold" "W2" "A fenced stream does not end until it writes.",
    FenceOfProcess "fence-of-process" "W2" "A stream is not fenced by open in another process.",
    Unacknowledged "unacknowledged" "W3" "Data is not acknowledged between flushes.",
    FlushUnmarked "flush-unmarked" "W3" "The answer to a flush does not say so.",
    FlushUnrounded "flush-unrounded" "W3,G5" "A flush tells bytes that are no multiple of the granularity as persisted.",
    FlushLags "flush-lags" "W3" "A flush tells less than it could persist.",
    WritesBuffered "writes-buffered" "W7,W3" "All is kept in memory until a flush.",
    StagedAtTarget "staged-at-target" "W4" "A session makes its target appear.",
    SessionsLost "sessions-lost" "W5" "Sessions are lost with the process.",
    EndEndsSession "end-ends-session" "W5,G10" "The end of a write stream ends its session.",
    SessionsOfProcess "sessions-of-process" "W5" "A session is known to one process only.",
    HintWins "hint-wins" "W6" "Commit publishes where open said.",
    HintFixed "hint-fixed" "W6" "A later open with another target is refused.",
    WrongSizeCommits "wrong-size-commits" "O1" "Commit takes any size.",
    WrongSizeCuts "wrong-size-cuts" "O1" "Commit with a smaller size cuts.",
    WrongSizeEndsSession "wrong-size-ends-session" "O1" "Commit with a wrong size ends the session.",
    CommitForgetsTail "commit-forgets-tail" "O1" "Commit does not know what the granularity kept from being persisted.",
    CommitKeepsWriters "commit-keeps-writers" "O2" "Streams go on writing to what was committed.",
    CommitKeepsSession "commit-keeps-session" "O2,O3" "Commit does not end the session.",
    CommitOnce "commit-once" "O3" "A repeated Commit is NOT_FOUND.",
    CommitReplacesNothing "commit-replaces-nothing" "O4" "Commit to a target with content is refused.",
    CommitIfAbsentIgnored "commit-if-absent-ignored" "O4" "Commit does not look at if_absent.",
    CommitLoserEnds "commit-loser-ends" "O4" "Commit that finds the target taken ends the session.",
    CommitAnySizeRepeats "commit-any-size-repeats" "O5" "Without a session, a target of any size is OK.",
    CommitNothingOk "commit-nothing-ok" "O5" "Without a session and without a target Commit is OK.",
    CommitEmptyRefused "commit-empty-refused" "O1" "Commit refuses a session of no bytes.",
}

impl Fault {
    /// Whether the fault is switched on.
    pub(crate) fn on(self) -> bool {
        SWITCHED_ON.get().is_some_and(|faults| faults.contains(&self))
    }
}

/// Switches faults on, once.
pub(crate) fn switch_on(names: &[String]) -> Result<(), Problem> {
    let fault = |name: &String| {
        let row = TABLE.iter().find(|row| row.name == *name);
        row.map(|row| row.fault).ok_or_else(|| format!("there is no fault {name}; --faults lists them"))
    };
    let faults = names.iter().map(fault).collect::<Result<_, _>>()?;
    SWITCHED_ON.set(faults).map_err(|_| "faults are switched on once".into())
}

/// All faults, one a line: name, clauses, sentence.
pub(crate) fn table() -> String {
    TABLE.iter().map(|row| format!("{}\t{}\t{}\n", row.name, row.clauses, row.sentence)).collect()
}
