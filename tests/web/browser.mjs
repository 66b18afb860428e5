// SPDX-License-Identifier: MIT
// What the tests of the page and the script for its pictures share: portmeter that serves, a browser, TAP.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

export const PATIENCE = 20000; // ms for what happens at once on an idle machine
const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/lib/chromium/chromium', '/usr/bin/google-chrome',
	'/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];

export const require = createRequire(import.meta.url);

export const browserPath = () => process.env.CHROMIUM ?? BROWSERS.find((path) => existsSync(path)) ?? null;

export async function launch() {
	const { chromium } = require('playwright-core');
	// A browser of root, as in CI, has no sandbox; it sees nothing but portmeter's own page.
	const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
	return chromium.launch({ executablePath: browserPath(), args: [...args, '--disable-background-networking', '--disable-component-update'], timeout: 2 * PATIENCE });
}

export const sleep = (ms) => new Promise((resume) => setTimeout(resume, ms));

export async function until(what, condition, ms = PATIENCE) {
	const end = Date.now() + ms;
	for (;;) {
		const value = await condition();
		if (value) return value;
		if (Date.now() > end) throw new Error(`waited ${ms / 1000} s in vain: ${what}`);
		await sleep(50);
	}
}

// A running portmeter that serves its page.
export class Meter {
	constructor(program, args, { listen = '127.0.0.1:0', stdin = 'ignore', cwd } = {}) {
		this.said = '';
		this.process = spawn(program, ['--listen', listen, ...args], { stdio: [stdin, 'ignore', 'pipe'], cwd });
		this.process.stderr.on('data', (data) => (this.said += data));
		this.ended = new Promise((resume) => this.process.on('exit', (code, signal) => resume(code ?? signal)));
	}

	async url() {
		const found = await until('portmeter says where it listens', () => {
			if (this.process.exitCode !== null) throw new Error(`portmeter ended: ${this.said}`);
			return /http:\/\/[0-9.:]+\//.exec(this.said);
		});
		return found[0];
	}

	async json(path) {
		const answer = await fetch(new URL(path, await this.url()));
		if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
		return answer.json();
	}

	async stop() {
		this.process.kill('SIGTERM');
		const end = await Promise.race([this.ended, sleep(PATIENCE).then(() => 'hangs')]);
		if (end !== 0) {
			this.process.kill('SIGKILL');
			throw new Error(`portmeter: ${end}: ${this.said}`);
		}
	}

	kill() {
		if (this.process.exitCode === null) this.process.kill('SIGKILL');
	}
}

// Waits until the page has drawn what it was last asked, from a record.
export const drawn = (page) => page.waitForFunction(() => document.documentElement.dataset.drawn && !document.querySelector('#range').textContent.includes('undefined') && document.querySelector('#range').textContent !== '', null, { timeout: PATIENCE });
