-- Undoes revision 0003.
DROP FUNCTION app.relay_report, app.note_pass, app.measure_lag, app.relay_lag;
DROP TABLE app.beats, app.relay_counts;
ALTER TABLE app.relay_state DROP measured_at, DROP lag;
DROP FUNCTION app.run_schedule, app.fire_schedules, app.note_run, app.record_run, app.record_platform_job, app.close_ended_runs;
DROP TABLE public.schedule_runs, public.schedules;
