"""What the pages say in numbers: templates, filled in from the code, that must stand in their page.

``{module.NAME}`` is a constant, ``{module.Table.field}`` the default of an option. What was
measured, or is said of other programs, cannot be filled in; it is listed with the reason.
"""

STATED = {
    "README.md": """
        They need Python {derived.PYTHON} and make
        brokers (`--brokers {derived.UP[brokers]}`)
        exits {cli.supervisor.DONE} only if every row is stored
        {cli.supervisor.DONE} only when every promise held
        {streamer.options.StreamerOptions.batch_size} samples -> one message
        fed by {derived.UP[gpus]} synthetic GPUs
    """,
    "api.md": """
        ({api.parameters.DEFAULT_LIMIT} if nothing is said
        `{api.selection.SHORTEST_WINDOW_MS:s}s` to `{api.selection.LONGEST_WINDOW_MS:d}d`
        `offset` up to {api.parameters.MAX_SKIPPED:,}
        those over {api.feed.MOST_POINTS:,} at once
        a list of up to {api.records.MAX_RECORDS:,}
        shows up to {api.traced.MOST_SHOWN} points
        after the first {api.traced.MOST_SAMPLES:,}, which
    """,
    "behaviour.md": """
        in blocks of {streamer.sources.lines.BLOCK_BYTES:KiB} KiB
        for {streamer.assemble.OPEN_BYTES:MiB} MiB of the file at most
        and {streamer.assemble.MAX_OPEN:,} of them
        over {streamer.wiring.MOST_COLLECTED:,} samples
        or {streamer.lane.MAX_BATCH_BYTES:MiB} MiB it is more than one
        looked at every {streamer.sources.scrape.LOOK_SECONDS:g} s)
        one a change of state, a summary every {streamer.service.SUMMARY_SECONDS:g} s
        up to {collector.writer.MOST_BATCHES:word} times `BATCH_SIZE`
        rested {collector.writer.REST:word} times as long
        (before {common.models.EARLIEST_MS:year}, after {common.models.LATEST_MS:year})
        one among {collector.options.CollectorOptions.batch_points:,}
        costs about {derived.WRITES_FOR_ONE_OF_A_BATCH} writes
        After {collector.narrow.MOST_WRITES} writes
        it looks no closer than {collector.narrow.COARSE_SAMPLES} samples
        Its lease is extended every {collector.leases.EVERY_SECONDS:g} s
        After {common.breaker.FAILURES_TO_OPEN:word} failures in a row
        each {collector.storing.COOL_DOWN_SECONDS:g} s, of {collector.storing.PROBE_SAMPLES} samples
        is tried about every {collector.storing.HOPELESS_SECONDS:g} s
        The log has a summary every {collector.collector.SUMMARY_SECONDS:g} s
        at most a {derived.FILE_OF_A_CAP:part} of such a cap
        or {common.breaker.FAILURES_TO_OPEN:word} failed requests in a row
        `/status` every {common.queue.placement.REFRESH_SECONDS:g} s
        or over {common.http.protocol.MAX_HEADERS} headers
        takes {common.http.protocol.UNSENT_BYTES:KiB} KiB
        that falls {api.feed.MOST_WAITING:,} events behind
        TLS {derived.LEAST_TLS} or {derived.LATEST_TLS}
        ({common.queue.http.SILENCE_SECONDS:g} s, {derived.HEARTBEATS_OF_SILENCE:word} heartbeats)
        fsync the collector ends with exit code {common.lifecycle.EXIT_TASK_DIED}
        ends the streamer with exit code {streamer.service.EXIT_BAD_SOURCE}
        cannot be written** ends the start with exit code {common.options.EXIT_BAD_OPTIONS}
        cannot be read with {common.options.EXIT_CANNOT_START}
        later version** ends the start with exit code {common.options.EXIT_BAD_OPTIONS}
        process ends with exit code {common.lifecycle.EXIT_TASK_DIED}, so that
        the exit code is that of the signal ({derived.EXIT_BY_SIGTERM})
        twice that time with exit code {common.http.server.EXIT_STOP_HUNG}
        started again after {cli.supervisor.FIRST_RESTART_SECONDS:g} s
        up to {cli.supervisor.LAST_RESTART_SECONDS:g} s
        with {cli.supervisor.DONE} (done) or {cli.supervisor.BAD_OPTIONS} (bad options)
        | 0 | done; for `run --once`: and the books balance |
        | {cli.run.EXIT_UNBALANCED} | `run --once`: the books do not balance
        | {common.options.EXIT_BAD_OPTIONS} | an option or input is wrong
        | {common.options.EXIT_CANNOT_START} | a service cannot start
        | {derived.EXIT_BY_SIGTERM} | stopped cleanly by SIGTERM |
    """,
    "engines.md": """
        | yes, {derived.KEY_MINUTES} minutes | yes, {derived.REDIS_KEY_MINUTES} minutes |
        yes, {derived.NATS_KEY_MINUTES} minutes | no
        yes, up to {derived.LONGEST_LEASE_HOURS:g} h |
        the_rest_flows` | {broker.options.BrokerOptions.max_body_bytes:MiB} MiB |
        | {common.queue.redis.producer.MAX_SEND_BYTES:MiB} MiB | `max_payload` |
        idempotency key is remembered for {derived.REDIS_KEY_MINUTES:word} minutes
        is set to, looked at every {common.queue.redis.link.LOOK_SECONDS:g} s
        A send holds {common.queue.redis.producer.MAX_SEND_BYTES:MiB} MiB at most
        after {common.queue.kafka.producer.GIVE_UP_MS:s} s without an answer
        within a {common.queue.kafka.client.COMMIT_SECONDS:part} of a second
        for {common.queue.kafka.producer.GIVE_UP_MS:s} s, and when
        ({common.queue.kafka.client.SESSION_MS:s} s here)
        `message.max.bytes` ({common.queue.kafka.settings.RECORD_BYTES:,} unless
        ({common.queue.kafka.client.METADATA_MS:s} s here)
    """,
    "export.md": """
        at most {cli.export.parts.GROUP_ROWS:,} rows and {derived.GROUP_MILLIONS:g} million values
        (the version of this page, {cli.export.columns.SCHEMA_VERSION})
        leaves with exit code {cli.export.run.EXIT_FAILED}
        | {common.options.EXIT_BAD_OPTIONS} | an option is wrong
        | {cli.export.run.EXIT_FAILED} | the store does not answer
    """,
    "formats.md": """
        the first {streamer.dry_run.SAMPLES_SHOWN:word} samples
        with {streamer.service.EXIT_BAD_SOURCE} and the reason
        and ends with 0;
        {streamer.sources.content.HEAD_BYTES:KiB} KiB a header
        {streamer.sources.columns.MAX_COLUMNS} columns
        {common.models.MAX_TEXT} characters a name or text
        {streamer.sources.lines.MAX_LINE_BYTES:MiB} MiB a line
        {common.models.MAX_LABELS} labels
        {streamer.sources.paths.MAX_FILES:,} files
        a block of {streamer.sources.lines.BLOCK_BYTES:KiB} KiB
        are all {streamer.sources.wide.MOST_MIB:,.0f} or more
        before {common.models.EARLIEST_MS:year} and after {common.models.LATEST_MS:year}
        of one a host, number {streamer.sources.wide_rows.ONLY_GPU};
    """,
    "metrics.md": "asked every {collector.collector.SUMMARY_SECONDS:g} s",
    "operations.md": """
        The chart's defaults are {derived.CHART_BROKERS:word} brokers
        on {cli.watchers.GRAFANA_PORT} and {cli.watchers.PROMETHEUS_PORT} unless somebody has
        limits are for {derived.VALUES[partitions]} partitions
        Exit code {common.options.EXIT_BAD_OPTIONS}: an option or the data directory
        {common.options.EXIT_CANNOT_START}: it could not start
        {common.lifecycle.EXIT_TASK_DIED}: a part of it died
    """,
    "promises.md": """
        over its share and a {derived.OVER_SHARE:part}
        its share and a {proxy.placement.MOVES_BEYOND_SHARE:part}.
        from {proxy.placement.FEWEST_PARTITIONS} partitions on
        up to {proxy.placement.MOST_JOINS} brokers
        the newest {broker.deadletters.IDS_KNOWN:,} of
        after {collector.narrow.MOST_WRITES} writes
        no closer than {collector.narrow.COARSE_SAMPLES} samples
    """,
    "protocol.md": """
        Version {derived.PROTOCOL}. Brokers
        Topics and groups are 1 to {derived.NAME_CHARACTERS} characters
        `X-Request-ID` (1 to {derived.REQUEST_ID_CHARACTERS} of
        A key is 1 to {broker.produce.MAX_KEY} characters
        (at most {broker.produce.MAX_HEADERS}) are kept
        (at most {broker.produce.MAX_KEY} printable ASCII characters)
        &max_in_flight={common.wire.DEFAULT_IN_FLIGHT}]
        about {broker.options.BrokerOptions.event_bytes:MiB} MiB at most, one receipt
        An {derived.KEPT_BACK:part} is kept back
        `reason` (at most {broker.settle.MAX_REASON} characters)
        &from=N][&limit={broker.dlq.DEFAULT_LIMIT}]
        `id` (1 to {broker.letters.MAX_ID} printable ASCII
        among the newest {broker.deadletters.IDS_KNOWN:,} of the queue
        "rate": {derived.REDRIVE_RATE:g}, "reason"
        &offset=][&limit={broker.inspect.DEFAULT_PEEK}]
        OpenAPI {derived.OPENAPI}
        of the message, at most {broker.trace.MOST_PARTS}, each
        Up to {broker.trace.MOST_LETTERS:,} dead letters are looked through
        or has over {common.http.protocol.MAX_HEADERS} headers
        "virtual_nodes": {proxy.options.ProxyOptions.virtual_nodes},
    """,
    "stores.md": """
        {derived.CAPS:Word} caps stand before it
        more than a {common.storage.sqlite.expire.FREE_SHARE:part} of it is free
        {derived.SETTLED_MINUTES:Word} minutes after an hour
        the version of the format, {common.storage.sqlite.schema.VERSION} today
        ({derived.MAX_RETRY_AFTER_MINUTES} minutes at most)
        requests of {common.storage.bodies.LINES_PER_REQUEST:,} lines
        whole numbers from {derived.WIDE_FROM} to {derived.WIDE_TO}, such
        half of its {derived.VALUE_BITS} bits
        with {common.storage.victoria.values.TAG_BITS} bits of checksum
        labels of over {common.storage.victoria.lines.MAX_LABEL_BYTES:,} bytes
        an answer of over {common.storage.victoria.link.MAX_ANSWER_BYTES:MiB} MiB
    """,
    "why.md": """
        virtual nodes a broker and a load bound of {proxy.placement.LOAD_BOUND}
        a ring with {proxy.options.ProxyOptions.virtual_nodes} virtual nodes
        coarse after {collector.narrow.MOST_WRITES} writes
        gathers for {collector.writer.REST:word} times as long
        An {derived.KEPT_BACK:part} is kept back
    """,
}
"""By page, a phrase a line."""

MEASURED = {
    "faults.md": "Of 43 mutants they noticed 41 when they were first run",
    "export.md": """
        10 million points of 100 GPUs with ten metrics
        7 seconds and 200 MB of memory on two cores, 28 MB of files
    """,
    "stores.md": """
        takes about 10 bytes, with rollups 12
        for 1,000 GPUs with 6 million points on two busy cores, 0.2 s for a page of 100
        at about 80 MB a second
        That is 20 ms a write
        each second is some 2 MB
        three seconds for 2 million points
    """,
}
"""What ``benchmarks/`` measures again."""

OF_OTHERS = {
    "engines.md": """
        and a server from 7.0 on
        a server from 2.10 on
        or three replicas, is how to have more
        (1 MiB unless set)
        is always 1, and there is no limit
        have at most 243 characters
    """,  # Redis's; NATS's; Kafka's: a topic has 249, `.dead.` is between
    "export.md": "| 0 | everything is there",
    "faults.md": """
        Three tools look
        leaves with 0 only when every promise held
        samples of 1970, of 2200
        a link of 64 kbit/s
        events of 300 KB, 5 MB
        five hundred slow clients
    """,  # inputs of tests
    "api.md": "and ends with 18",  # curl's exit code
    "behaviour.md": """
        (a sample of ten rows takes ten of them)
        take the three from the environment
    """,  # an example; the options named before
    "formats.md": "(`P0` is 0)",  # NVIDIA's
    "operations.md": """
        Take two to four for each broker
        5 minutes if it is not given
        13, 31 and 43 are mostly the program's, 48, 63, 74, 79 and 94 to 95 the hardware's
    """,  # advice; Helm's; NVIDIA's
    "stores.md": """
        95 % of them do not exceed
        a release with format 1 keeps its size
        numbers of at most 11 digits, of which 6 behind the point
        up to ten seconds of what it had answered
        `-search.maxSamplesPerQuery` (10^9)
    """,  # what p95 is; the past; what VictoriaMetrics keeps, syncs and refuses
}
"""What our code does not decide."""

ALL_MEASURED = {"why.md"}
"""Pages whose other numbers were measured once, as their first line says."""
