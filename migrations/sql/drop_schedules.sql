-- Undoes revision 0003.
DROP FUNCTION app.run_schedule, app.fire_schedules, app.note_run, app.record_run, app.record_platform_job, app.close_ended_runs;
DROP TABLE public.schedule_runs, public.schedules;
